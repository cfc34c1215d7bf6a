"""The seam of executors: a name, and who measures the tasks of a sweep while a `with` lasts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pruning_core.registry import Registry
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor
from pruning_core.sensitivity.worker import Worker


@dataclass(frozen=True)
class Machines:
    """Where to measure: `workers` processes of this machine, or all workers of the cluster at an address."""

    workers: int = 1
    cluster: str | None = None


Start = Callable[[Recipe, Worker, Machines], AbstractContextManager[Executor]]
EXECUTORS: Registry[Start] = Registry("executor")


def executor(name: str) -> Callable[[Start], Start]:
    """Register a context manager that gives an executor; results are the same, bit for bit, whichever measures."""

    def register(start: Start) -> Start:
        return EXECUTORS.add(name, start)

    return register
