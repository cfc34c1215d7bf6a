"""Stand-ins for a recipe and its worker, which do at a layer what they are told to."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Self
from uuid import uuid4

import numpy as np

from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.tasks import Chunk, Result, Task


class StandIn:
    """A recipe, its worker and that one's forks; `deeds` by layer, and at `birth`."""

    def __init__(self, deeds: Mapping[str, str]) -> None:
        self.deeds = deeds
        self.mark = Path(gettempdir()) / f"pruning-explorer-{uuid4().hex}"  # left by the first that died

    @property
    def forks(self) -> Self:
        return self

    def worker(self) -> tuple[Self, None]:
        deed = self.deeds.get("birth")
        if deed == "dies at birth":
            os._exit(7)
        if deed == "has a defect":
            raise ZeroDivisionError
        return self, None

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["deeds"].get("birth") == "is not known":
            raise ModuleNotFoundError("No module named 'somewhere'")
        self.__dict__.update(state)

    def position(self, layer: str) -> int:
        return ord(layer)

    def macs(self, layer: str) -> int:
        return 1

    def measure(self, task: Task, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Result]:
        for layer in sorted(task.cells, key=self.position):
            for sparsity in task.cells[layer]:
                for chunk in task.chunks:
                    if cancelled():
                        return
                    self._do(self.deeds.get(layer))
                    yield result_of(layer, sparsity, chunk)

    def _do(self, deed: str | None) -> None:
        if deed == "dies" or (deed == "dies the first time" and not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getpid(), 9)
        elif deed and deed.startswith("sleeps"):
            time.sleep(0.1 if deed == "sleeps a little" else 60)


def result_of(layer: str, sparsity: float, chunk: Chunk) -> Result:
    """What a stand-in measures."""
    kl = ord(layer) * sparsity / (3 + chunk.number)
    return Result(layer, sparsity, chunk.block, chunk.number, (Tally(n=len(chunk.examples), kl=kl),))


def task_of(n_chunks: int, **cells: tuple[float, ...]) -> Task:
    """Some cells on some chunks."""
    chunks = [Chunk(1, i, np.arange(3), np.zeros(3, np.int64), 1) for i in range(n_chunks)]
    return Task(tuple(chunks), cells)


def kinds(found: Sequence[Result]) -> tuple[set[Result], dict[tuple[str, float], set[str]]]:
    """Split results into those that were measured and those that failed, with the reasons."""
    failed: dict[tuple[str, float], set[str]] = {}
    for result in found:
        if result.error:
            failed.setdefault((result.layer, result.sparsity), set()).add(result.error)
    return {result for result in found if not result.error}, failed


def measured(task: Task) -> set[Result]:
    """All results of a task."""
    cells = [(layer, sparsity) for layer, levels in task.cells.items() for sparsity in levels]
    return {result_of(layer, sparsity, chunk) for layer, sparsity in cells for chunk in task.chunks}


def wait_with_two_processes() -> None:
    """Print the numbers of two processes that are at work, and wait for ever."""
    from pruning_core.sensitivity.executors.processes import Processes

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
    stand_in = StandIn({"a": "sleeps"})
    pool = Processes(pickle.dumps((1, stand_in)), stand_in, 2)  # type: ignore[arg-type]
    chunks = tuple(Chunk(0, i, np.arange(2), np.zeros(2, np.int64), 1) for i in range(2))

    def tell() -> bool:
        if all(child.piece for child in pool._children):
            sys.stdout.write(" ".join(str(child.process.pid) for child in pool._children) + "\n")
            sys.stdout.flush()
            time.sleep(60)
        return False

    list(pool.run(Task(chunks, {"a": (0.1,)}), tell))
