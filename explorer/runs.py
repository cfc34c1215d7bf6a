"""How a task of a job runs: in a worker process, slice by slice, or here in the job's own thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from explorer import resources, turns, workers
from explorer.loading import Subject
from explorer.settings import SETTINGS
from pruning_core import Reference
from pruning_core.errors import Cancelled
from pruning_core.sensitivity import Progress

if TYPE_CHECKING:
    from explorer.job import Job

SLICE = 30.0  # seconds that a sweep measures before it lets other sessions have theirs
Note = Callable[[Sequence[Any]], None]


def run(job: Job, function: Callable[..., Any], arguments: Sequence[Any], note: Note, resumable: bool) -> Any:
    """Return what `function(task, *arguments)` returns, however many turns that takes."""
    while True:
        job.stand_while_held()
        if not SETTINGS.workers:
            return function(Here(job, note), *arguments)
        turn = Slice(job, note, resumable)
        try:
            result = workers.POOL.run(turn, function, arguments, turn.note, resumable)
        except Cancelled:
            if not turn.is_over or job.cancelled():
                raise
        else:
            if not turn.is_over or job.cancelled():
                return result
        job.wait_for_turn()


class Slice:
    """One turn of a job in a worker.

    A resumable task stops where other sessions wait, and goes on when it is its turn again.
    """

    def __init__(self, job: Job, note: Note, resumable: bool) -> None:
        self._job, self._note, self._resumable = job, note, resumable
        self._first: float | None = None  # when it began to measure; loading is not counted
        self.is_over = False
        self.stand = job.stand

    @property
    def held(self) -> int:
        """Number of the hold for which it is to stand still, or 0."""
        return self._job.held

    def cancelled(self) -> bool:
        """Whether it is to stop, for good or for now."""
        if self._resumable and self._first and perf_counter() > self._first + SLICE:
            self.is_over = self.is_over or turns.TURNS.others_wait(self._job)
        return self.is_over or self._job.cancelled()

    def note(self, batch: Sequence[Any]) -> None:
        """Pass on progress; the clock of the slice begins with what was not known before."""
        if self._first is None and any(_is_new(progress) for progress in batch):
            self._first = perf_counter()
        self._note(batch)


def _is_new(progress: Any) -> bool:
    """Whether something was measured that no earlier run knew; only sweeps know anything of earlier runs."""
    return not isinstance(progress, Progress) or progress.share > progress.recalled


class Here:
    """A task in a thread of this process, for notebooks and tests."""

    def __init__(self, job: Job, note: Note) -> None:
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
