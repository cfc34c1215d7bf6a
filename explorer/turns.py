"""Whose turn it is: jobs of all sessions in fair order, short work before sweeps, timing alone.

Three lanes. A `SWEEP` may take minutes and stands still while other work runs. `INTERACTIVE` work begins at once, one
at a time. Work `ALONE` is timed: it begins when every sweep has come to stand, and nothing begins beside it.
"""

import sys
from collections.abc import Callable
from threading import RLock
from time import perf_counter
from typing import Protocol

from explorer.settings import SETTINGS

SWEEP, INTERACTIVE, ALONE = "sweep", "interactive", "alone"
SESSIONS_KEPT = 1000
PAGES_WAIT = 20.0  # seconds; a latency takes about 10


class Turn(Protocol):
    """What the order of jobs sees of one."""

    lane: str
    sessions: set[str]  # all who asked for it
    began: float  # when its last turn came, on the clock of `perf_counter`

    @property
    def standing(self) -> bool:
        """Whether it waits between two cells."""

    def begin(self) -> None:
        """Its turn has come."""

    def hold(self, held: bool) -> None:
        """Stand still at the next cell, or go on."""


class Turns:
    """Jobs that wait and jobs that run: `places` sweeps may run at a time, `each` of one session."""

    def __init__(self, places: Callable[[], int], each: Callable[[], int] = lambda: sys.maxsize) -> None:
        self._places, self._each = places, each
        self._lock = RLock()
        self._waiting: list[Turn] = []
        self._running: list[Turn] = []
        self._served: dict[str, int] = {}  # when a session last had its turn, the longest ago first
        self._turns = 0

    def join(self, job: Turn) -> None:
        """Let `job` wait for its turn; it may come at once."""
        with self._lock:
            self._waiting.append(job)
            self.deal()

    def leave(self, job: Turn) -> None:
        """`job` runs no longer; one that was stopped between two turns did not."""
        with self._lock:
            if job in self._running:
                self._running.remove(job)
            self.deal()

    def withdraw(self, job: Turn) -> bool:
        """Let `job` wait no longer; return whether it did."""
        with self._lock:
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
                self.deal()
            return waited

    def is_timing(self) -> bool:
        """Whether pages should leave the processor to work that is timed; for minutes they cannot."""
        with self._lock:
            return any(job.lane == ALONE and perf_counter() < job.began + PAGES_WAIT for job in self._running)

    def others_wait(self, job: Turn) -> bool:
        """Whether another session waits for a sweep while `job` has its place."""
        with self._lock:
            return any(other.lane == SWEEP and not other.sessions & job.sessions for other in self._waiting)

    def deal(self) -> None:
        """Begin what may begin; hold sweeps while other work runs or is about to."""
        with self._lock:
            while (job := self._next()) is not None:
                self._waiting.remove(job)
                self._running.append(job)
                self._note(job.sessions)
                job.begin()
            busy = any(job.lane != SWEEP for job in self._running + self._waiting)
            for job in self._running:
                job.hold(busy and job.lane == SWEEP)

    def _next(self) -> Turn | None:
        sweeping = [job for job in self._running if job.lane == SWEEP]
        if len(sweeping) < len(self._running):
            return None  # other work runs, one at a time
        if (job := self._fairest([job for job in self._waiting if job.lane != SWEEP])) is not None:
            return job if job.lane == INTERACTIVE or all(each.standing for each in sweeping) else None
        if len(sweeping) >= self._places():
            return None
        return self._fairest([job for job in self._waiting if self._has_place_for(job, sweeping)])

    def _has_place_for(self, job: Turn, sweeping: list[Turn]) -> bool:
        return sum(bool(job.sessions & other.sessions) for other in sweeping) < self._each()

    def _fairest(self, jobs: list[Turn]) -> Turn | None:
        """Return the job of the session that had its turn longest ago; of several the one that came first."""
        return min(jobs, key=lambda job: min(self._served.get(name, 0) for name in job.sessions), default=None)

    def _note(self, sessions: set[str]) -> None:
        self._turns += 1
        for name in sessions:
            self._served.pop(name, None)
            self._served[name] = self._turns
        while len(self._served) > SESSIONS_KEPT:
            del self._served[next(iter(self._served))]


TURNS = Turns(
    places=lambda: max(1, SETTINGS.workers),
    each=lambda: sys.maxsize if SETTINGS.local else SETTINGS.limits.jobs_running,
)
