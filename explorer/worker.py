"""A worker process as this process sees it: it runs one task at a time, and is killed when that does not stop.

It is started afresh, never forked, since a copy of a process with torch's threads can hang. It sees the end of its pipe
when this process ends, however that ends, and ends too.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, Protocol

from explorer import messages
from pruning_core import PruningError
from pruning_core.errors import Cancelled

STOP_SECONDS = 1.5  # from the wish to stop to the kill
BEGIN_SECONDS = 60.0  # from the order to its beginning, where an earlier task still loads something
POLL_SECONDS = 0.05
STOPPED = "the work was stopped"
PROGRAM = "import sys; sys.path[:] = {path!r}; from explorer.worker_main import main; main()"


class Defect(Exception):
    """A task ended in an error that is none of the user's; its traceback is in the log."""


class Died(PruningError):
    """A worker process ended before its task did."""

    def __init__(self, sentence: str, begun: bool) -> None:
        super().__init__(sentence)
        self.begun = begun  # if not, no harm was done


class Control(Protocol):
    """What is wished of a task while it runs."""

    def cancelled(self) -> bool:
        """Whether it is to stop."""

    @property
    def held(self) -> int:
        """Number of the hold for which it is to stand still, or 0."""

    def stand(self, hold: int) -> None:
        """It stands still now, as this hold wished."""


@dataclass
class _Steering:
    """What was told of a running task, and what it told."""

    begun: bool = False
    busy: bool = False  # it computes; while it loads, or before it has begun, it may be left to itself
    ordered: float = field(default_factory=monotonic)
    stop_at: float | None = None
    hold: int = 0


@dataclass(eq=False)
class Worker:
    """One process; `alive` until it is seen to have ended."""

    alive: bool = True
    idle_since: float = field(default_factory=monotonic)
    _number: int = 0
    _answers: "SimpleQueue[tuple[str, int, Any]]" = field(default_factory=SimpleQueue)
    _writing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        command = [sys.executable, "-P", "-c", PROGRAM.format(path=sys.path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        Thread(target=self._listen, name="worker answers", daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError):
            while True:
                self._answers.put(messages.read(self.process.stdout.fileno()))
        self.process.stdout.close()
        self.kill()  # where it only closed its pipe
        self._answers.put(("ended", self._number, self.process.wait()))

    def kill(self) -> None:
        """End the process at once."""
        assert self.process.stdin is not None
        self.alive = False
        self.process.kill()  # before the lock: whoever writes to a process that does not read holds it
        with self._writing:
            self.process.stdin.close()

    def run(
        self,
        control: Control,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        note: Callable[[Sequence[Any]], None],
    ) -> Any:
        """Return what `function(task, *arguments)` returns in the process; `note` is given its progress in batches."""
        packed = _packed(function, arguments)
        if control.cancelled():
            raise Cancelled(STOPPED)
        self._number += 1
        self._tell("run", packed)
        steering = _Steering()
        try:
            kind, content = self._follow(control, steering, note)
        except BaseException:
            self.kill()  # nobody follows the task any more
            raise
        if kind == "ended" and not control.cancelled():
            raise Died(_how_it_ended(content), steering.begun)
        return _outcome(kind, content)

    def _follow(self, control: Control, steering: _Steering, note: Callable[[Sequence[Any]], None]) -> tuple[str, Any]:
        """Take answers and pass on wishes until the task has ended; return how."""
        while True:
            try:
                kind, number, content = self._answers.get(timeout=POLL_SECONDS)
            except Empty:
                kind, number, content = "", self._number, None
            if number != self._number and kind != "ended":
                continue  # of a task that was left to itself
            if kind == "progress":
                note([pickle.loads(each) for each in content])
            elif kind == "stands":
                control.stand(content)
            elif kind == "busy":
                steering.begun, steering.busy = True, content
            elif kind:
                return kind, content
            if not self._steer(control, steering):
                return "cancelled", STOPPED

    def _steer(self, control: Control, steering: _Steering) -> bool:
        """Pass on what is wished. A task that does not stop is killed with its process; one that only loads is left
        to it, since what it loads serves the next one. Return whether it is to be followed on."""
        if control.cancelled():
            if steering.stop_at is None:
                steering.stop_at = monotonic() + STOP_SECONDS
                self._tell("cancel")
            elif monotonic() > steering.stop_at:
                self.kill()
            return steering.busy
        if not steering.begun and monotonic() > steering.ordered + BEGIN_SECONDS:
            self.kill()
        if steering.hold != (hold := control.held):
            steering.hold = hold
            self._tell("hold", hold)
        return True

    def _tell(self, kind: str, content: Any = None) -> None:
        assert self.process.stdin is not None
        with self._writing, suppress(OSError, ValueError):  # it ended; its answer says so
            messages.write(self.process.stdin.fileno(), (kind, self._number, content))


def _packed(function: Callable[..., Any], arguments: Sequence[Any]) -> bytes:
    try:
        if getattr(sys.modules[function.__module__], function.__name__, None) is not function:
            raise AttributeError
        return pickle.dumps((function.__module__, function.__name__, tuple(arguments)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = f": {error}" if str(error) else ""
        raise PruningError(
            f"{function.__name__} cannot go to a worker process{reason}; use a function of a module and plain data"
        ) from None


def _outcome(kind: str, content: Any) -> Any:
    if kind == "done":
        return pickle.loads(content)
    if kind in ("cancelled", "ended"):
        raise Cancelled(STOPPED)
    if kind == "refused":
        raise PruningError(content)
    raise Defect


def _how_it_ended(code: int) -> str:
    if code == -9:
        return "its worker process was killed, most often because memory ran out; ask for fewer examples"
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return f"its worker process ended {how} in the middle of the work; the server's log may say why"
