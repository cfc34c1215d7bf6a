"""`Watch`: looks from time to time whether a cluster is still there, without making anybody wait."""

from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from pruning_core.errors import WorkersError

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 20.0  # without any worker; Dask starts one that died anew within some seconds


class Watch:
    """While a `with` lasts, `check` refuses to go on once no worker has been seen for a while."""

    def __init__(self, client: "Client", address: str) -> None:
        self.client, self.address = client, address
        self._seen = monotonic()
        self._ended = Event()

    def __enter__(self) -> Self:
        Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                if self.client.nthreads():
                    self._seen = monotonic()
            except Exception:  # whatever a client says that has lost its scheduler
                continue

    @property
    def is_there(self) -> bool:
        """Whether the scheduler is, as far as is known."""
        return bool(self.client.status == "running")

    def check(self) -> None:
        """Raise where the cluster is there no more."""
        if not self.is_there or monotonic() - self._seen > PATIENCE_SECONDS:
            raise self.gone()

    def gone(self) -> WorkersError:
        """Return what to say then."""
        return WorkersError(
            f"the Dask cluster at '{self.address}' is gone or has no workers left; start it and then the sweep again, "
            "which keeps what was measured"
        )
