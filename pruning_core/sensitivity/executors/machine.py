"""What runs in the workers of a cluster: they are told of a sweep once, measure its pieces, and are told of its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from time import monotonic, sleep

from distributed import get_worker

from pruning_core.sensitivity.executors.packing import Measurer
from pruning_core.sensitivity.tasks import Result, Task

WAIT_SECONDS = 20.0  # to be told of a sweep
KEPT = 4  # sweeps, should one who asked be gone without a word
NUMBERS = ("pruning-explorer", "torch", "onnxruntime", "numpy")  # what they do with the same model must be the same

_sweeps: dict[str, bytes | Measurer] = {}
_measuring = Lock()  # one piece at a time, however many threads a worker has


@dataclass(frozen=True)
class Unknown:
    """The worker at `address` was not told of the sweep."""

    address: str


def versions() -> Mapping[str, str]:
    """Return what is installed here."""
    return {name: version(name) for name in NUMBERS}


def receive(sweep: str, content: bytes) -> Mapping[str, str]:
    """Keep the model of a sweep and return what is installed here."""
    _sweeps[sweep] = content
    while len(_sweeps) > KEPT:
        del _sweeps[next(iter(_sweeps))]
    return versions()


def measure(sweep: str, task: Task) -> list[Result] | Unknown:
    """Return the results of a task, or of what was done of it when the sweep was ended."""
    with _measuring:
        known = _awaited(sweep)
        if known is None:
            return Unknown(get_worker().address)
        if isinstance(known, bytes):
            known = _sweeps[sweep] = Measurer(known)
        return list(known.measure(task, lambda: sweep not in _sweeps))


def _awaited(sweep: str) -> bytes | Measurer | None:
    """Return the sweep, once it is known; a worker that is new gets work before it is told what of.

    To hand the piece back would let Dask forget how many workers it has killed.
    """
    deadline = monotonic() + WAIT_SECONDS
    while sweep not in _sweeps and monotonic() < deadline:
        sleep(0.01)
    return _sweeps.get(sweep)


def end(sweep: str) -> None:
    """Forget a sweep; what is being measured of it stops."""
    _sweeps.pop(sweep, None)
