"""`Job`: one piece of background work, its state, and its turns."""

import os
import sys
import traceback
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Event, Thread, get_native_id, main_thread
from time import perf_counter
from typing import Any
from uuid import uuid4

from explorer import runs, turns
from explorer.turns import SWEEP
from explorer.worker import Defect
from pruning_core import PruningError
from pruning_core.errors import Cancelled


@dataclass(eq=False)
class Job:
    """One piece of background work and what is known of it so far."""

    key: Hashable
    title: str
    lane: str = SWEEP
    sessions: set[str] = field(default_factory=lambda: {""})
    id: str = field(default_factory=lambda: uuid4().hex)
    state: str = "waiting"  # then running, then done, stopped or failed
    error: str = ""
    progress: Any = None
    result: Any = None
    began: float = 0.0  # when its last turn came
    seconds: float = 0.0  # that it ran, without those that it stood
    held: int = 0  # other work goes first: number of the hold, 0 for none
    standing: bool = False  # it is held and has come to stand
    _work: "Callable[[Job], Any] | None" = None
    _cancel: Event = field(default_factory=Event)
    _future: "Future[None]" = field(default_factory=Future)
    _turn: Event = field(default_factory=Event)
    _changed: Condition = field(default_factory=Condition)
    _holds: int = 0
    _since: float = 0.0

    @property
    def live(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Ask it to stop; what is finished is kept."""
        with self._changed:
            self._cancel.set()
            self._changed.notify_all()
        if turns.TURNS.withdraw(self):
            self._turn.set()
            if self.state == "waiting":
                self.state = "stopped"
                self._future.set_result(None)

    def refuse(self, reason: str) -> None:
        """Let it have failed before it begins."""
        self.error, self.state, self._work = reason, "failed", None
        self._future.set_result(None)

    def cancelled(self) -> bool:
        """Whether it was asked to stop, or the program ends."""
        return self._cancel.is_set() or not main_thread().is_alive()

    def wait(self, seconds: float | None = None) -> None:
        """Return when it has ended; raises TimeoutError when that takes longer than `seconds`."""
        self._future.result(seconds)

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        note: Callable[[Sequence[Any]], None] | None = None,
        resumable: bool = False,
    ) -> Any:
        """Return what `function(task, *arguments)` returns, in a worker process where there are any.

        Function and arguments must pickle. `note` is given progress in batches; without it the last one is kept.
        """
        return runs.run(self, function, arguments, note or self._keep_last, resumable)

    def _keep_last(self, batch: Sequence[Any]) -> None:
        self.progress = batch[-1]

    def move_to(self, lane: str) -> None:
        """Wait for a turn in another lane; raises Cancelled when it is stopped before that comes."""
        if lane != self.lane:
            self.wait_for_turn(lane)
        if self.cancelled():
            raise Cancelled(f"{self.title} was stopped")

    def wait_for_turn(self, lane: str | None = None) -> None:
        """Give up its place and wait for another, in this lane or another one."""
        turns.TURNS.leave(self)
        self._turn.clear()
        self.hold(False)
        self.lane = lane or self.lane
        with self._changed:
            self._set_standing(True)
        turns.TURNS.join(self)
        if self.cancelled() and turns.TURNS.withdraw(self):
            self._turn.set()
        self._turn.wait()
        with self._changed:
            self._set_standing(False)

    # ---- what `Turns` and workers see

    def begin(self) -> None:
        """Its turn has come."""
        self.began = perf_counter()
        self._turn.set()
        if self.state == "waiting":
            self.state = "running"
            Thread(target=_run, args=(self,), name=f"job {self.title}").start()

    def hold(self, held: bool) -> None:
        """Stand still between two cells, or go on."""
        with self._changed:
            if held != bool(self.held):
                self._holds += held
                self.held = self._holds if held else 0
                self._set_standing(False)
                self._changed.notify_all()

    def stand(self, hold: int) -> None:
        """It stands, as this hold wished."""
        with self._changed:
            if hold == self.held:
                self._set_standing(True)
        turns.TURNS.deal()

    def _set_standing(self, standing: bool) -> None:
        if standing != self.standing:
            now = perf_counter()
            self.seconds += now - self._since if standing else 0.0
            self._since, self.standing = now, standing

    def stand_while_held(self) -> None:
        """Wait here while other work goes first."""
        while (hold := self.held) and not self.cancelled():
            self.stand(hold)
            with self._changed:
                self._changed.wait_for(lambda hold=hold: self.held != hold or self.cancelled(), timeout=0.5)  # type: ignore[misc]


def _run(job: Job) -> None:
    _step_back()
    assert job._work is not None
    job._since, state = perf_counter(), "failed"
    try:
        job.result = job._work(job)
        state = "stopped" if job.cancelled() else "done"
    except Cancelled:
        state = "stopped"
    except PruningError as error:
        job.error = str(error)
    except Exception as error:
        job.error = "a defect stopped this job; the server's log has the details"
        if not isinstance(error, Defect):
            traceback.print_exc()
    finally:
        job.hold(False)
        job.seconds += perf_counter() - job._since
        job.state, job._work = state, None
        turns.TURNS.leave(job)
        job._future.set_result(None)


def _step_back() -> None:
    """Let pages go first: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 5)
