"""Background work: jobs of all sessions in fair order; they outlive reruns, reloads and tabs.

A job never touches a page. Pages poll it; equal requests share one job. Its function runs in a thread here and hands
what takes time to a worker process with `Job.run`.
"""

import os
import sys
import traceback
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Event, RLock, Thread, get_native_id, main_thread
from time import perf_counter
from typing import Any
from uuid import uuid4

from explorer import resources
from explorer.loading import Subject
from explorer.settings import SETTINGS
from explorer.turns import ALONE, INTERACTIVE, SWEEP, Turns
from explorer.workers import POOL, Defect
from pruning_core import PruningError, Reference
from pruning_core.errors import Cancelled

__all__ = [
    "ALONE",
    "INTERACTIVE",
    "SWEEP",
    "Job",
    "find",
    "is_timing",
    "newest",
    "newest_of",
    "start",
    "stop_all",
    "warm",
]

JOBS_KEPT = 200
_lock = RLock()
_jobs: dict[str, "Job"] = {}
_turns = Turns(places=lambda: max(1, SETTINGS.workers))


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
        if _turns.withdraw(self):
            self._turn.set()
            if self.state == "waiting":
                self.state = "stopped"
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
        noted = note or self._keep_last
        self.stand_while_held()
        if SETTINGS.workers:
            return POOL.run(self, function, arguments, noted, resumable)
        return function(_Here(self, noted), *arguments)

    def _keep_last(self, batch: Sequence[Any]) -> None:
        self.progress = batch[-1]

    def move_to(self, lane: str) -> None:
        """Wait for a turn in another lane; raises Cancelled when it is stopped before that comes."""
        if lane != self.lane:
            _turns.leave(self)
            self._turn.clear()
            self.hold(False)
            self.lane = lane
            _turns.join(self)
            if self.cancelled() and _turns.withdraw(self):
                self._turn.set()
            self._turn.wait()
        if self.cancelled():
            raise Cancelled(f"{self.title} was stopped")

    # ---- what `Turns` and workers see

    def begin(self) -> None:
        """Its turn has come."""
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
        _turns.deal()

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


class _Here:
    """A task in a thread of this process, for notebooks and tests."""

    def __init__(self, job: Job, note: Callable[[Sequence[Any]], None]) -> None:
        self._job, self._note, self.paused_seconds = job, note, 0.0
        self.store = None  # tests and notebooks leave the user's folder alone

    def reference(self, subject: Subject) -> Reference:
        """Return what the pages hold, too."""
        return resources.reference(subject.model, subject.data)

    def cancelled(self) -> bool:
        """Whether to stop; waits here while other work goes first."""
        before = perf_counter()
        if self._job.held:
            self._job.stand_while_held()
            self.paused_seconds += perf_counter() - before
        return self._job.cancelled()

    def note(self, progress: Any) -> None:
        """Tell how far it is."""
        self._note([progress])


def start(key: Hashable, title: str, work: Callable[[Job], Any], *, lane: str = SWEEP, session: str = "") -> Job:
    """Queue `work(job)`, or return the live job with the same key, which then belongs to this session too."""
    with _lock:
        for job in _jobs.values():
            if job.key == key and job.live:
                job.sessions = job.sessions | {session}  # read by others meanwhile
                return job
        job = Job(key, title, lane, {session}, _work=work)
        _jobs[job.id] = job
        over = [old for old, other in _jobs.items() if not other.live][: max(0, len(_jobs) - JOBS_KEPT)]
        for old in over:
            del _jobs[old]
        _turns.join(job)
        return job


def find(job_id: str | None) -> Job | None:
    """Return the job with this id, if this server knows it."""
    return _jobs.get(job_id or "")


def newest(key: Hashable) -> Job | None:
    """Return the newest job with this key, live or finished."""
    return newest_of(lambda other: other == key)


def newest_of(wanted: Callable[[Hashable], bool]) -> Job | None:
    """Return the newest job whose key is wanted; a live one before any finished one."""
    found = [job for job in list(_jobs.values()) if wanted(job.key)]
    return next((job for job in found if job.live), found[-1] if found else None)


def is_timing() -> bool:
    """Whether work runs that is timed, so that pages should leave the processor to it."""
    return _turns.is_timing()


def warm() -> None:
    """Let a worker load its libraries in the background, once a page is shown."""
    if SETTINGS.workers:
        POOL.warm()


def stop_all() -> None:
    """Stop everything; called when the server ends."""
    for job in list(_jobs.values()):
        job.cancel()
    POOL.close()


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
        _turns.leave(job)
        job._future.set_result(None)


def _step_back() -> None:
    """Let pages go first: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 5)
