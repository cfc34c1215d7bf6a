"""The executor that measures here and now."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pruning_core.sensitivity.executors.seam import Machines, executor
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor, Result, Task
from pruning_core.sensitivity.worker import Worker


@executor("in_process")
@contextmanager
def in_process(recipe: Recipe, worker: Worker, machines: Machines) -> Iterator[Executor]:
    """Measure in the process and thread that asks."""
    yield InProcess(worker)


class InProcess:
    """Runs tasks on one worker."""

    n_workers = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def run(self, task: Task, cancelled: Callable[[], bool]) -> Iterator[Result]:
        """Yield a result for each cell and chunk."""
        return self.worker.measure(task, cancelled)
