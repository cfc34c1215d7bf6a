"""Executors: who measures the tasks of a sweep; results are the same whoever does."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from pruning_core.sensitivity.executors import cluster as _cluster  # noqa: F401
from pruning_core.sensitivity.executors import processes as _processes  # noqa: F401
from pruning_core.sensitivity.executors.in_process import InProcess
from pruning_core.sensitivity.executors.seam import EXECUTORS, Machines
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor
from pruning_core.sensitivity.worker import Worker

__all__ = ["EXECUTORS", "InProcess", "Machines", "MakeExecutor", "executor_for", "in_process"]

MakeExecutor = Callable[[Recipe, Worker], AbstractContextManager[Executor]]


def executor_for(workers: int = 1, cluster: str | None = None) -> MakeExecutor:
    """Return who measures: this process, `workers` processes of this machine, or the Dask cluster at an address."""
    machines = Machines(workers, cluster)
    start = EXECUTORS["dask" if cluster is not None else "processes" if workers > 1 else "in_process"]
    return lambda recipe, worker: start(recipe, worker, machines)


in_process = executor_for()
