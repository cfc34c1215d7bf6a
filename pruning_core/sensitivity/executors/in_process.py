"""The executor that measures here and now."""

from collections.abc import Callable, Iterator

from pruning_core.sensitivity.tasks import Result, Task
from pruning_core.sensitivity.worker import Worker


class InProcess:
    """Measures in the process and thread that asks."""

    n_workers = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def run(self, task: Task, cancelled: Callable[[], bool]) -> Iterator[Result]:
        """Yield a result for each cell and chunk."""
        return self.worker.measure(task, cancelled)
