"""`Watch`: looks from time to time who is there of a cluster, without making anybody wait."""

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from pruning_core.errors import WorkersError

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # without any worker; Dask starts one that died anew, which takes seconds or, under load, more


class Watch:
    """New workers are greeted, and `check` refuses to go on once none was seen for a while."""

    def __init__(self, client: "Client", address: str, greet: Callable[[list[str]], None]) -> None:
        self.client, self.address = client, address
        self._greet, self._greeted = greet, set[str]()
        self._seen = monotonic()
        self._refusal: WorkersError | None = None
        self._ended = Event()

    def start(self) -> None:
        """Look from now on."""
        Thread(target=self._keep_looking, daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def _keep_looking(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self.look()
            except WorkersError as error:
                self._refusal = error
            except Exception:  # whatever a client says that has lost its scheduler
                continue

    def look(self) -> None:
        """Greet who is new."""
        there = set(self.client.nthreads())
        if there:
            self._seen = monotonic()
        if there - self._greeted:
            self._greet(sorted(there - self._greeted))
        self._greeted = there

    @property
    def n_workers(self) -> int:
        """Workers at the last look."""
        return len(self._greeted)

    @property
    def is_there(self) -> bool:
        """Whether the scheduler is, as far as is known."""
        return bool(self.client.status == "running")

    def check(self) -> None:
        """Raise where the cluster is there no more."""
        if self._refusal:
            raise self._refusal
        if not self.is_there or monotonic() - self._seen > PATIENCE_SECONDS:
            raise self.gone()

    def gone(self) -> WorkersError:
        """Return what to say then."""
        return WorkersError(
            f"the Dask cluster at '{self.address}' is gone or has no workers left; start it and then the sweep again, "
            "which keeps what was measured"
        )
