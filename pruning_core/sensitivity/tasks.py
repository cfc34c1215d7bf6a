"""What executors take and give: a `Task` (some chunks of examples, some cells), a `Result` for each cell and chunk."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pruning_core.sensitivity.tally import Tally


@dataclass(frozen=True, eq=False)
class Chunk:
    """Examples that walk the graph together. Who cuts them otherwise gets sums that differ in the last digits."""

    block: int
    number: int  # within the block
    examples: NDArray[np.int64]  # (n,)
    stratum: NDArray[np.int64]  # (n,), each below n_strata
    n_strata: int
    dense: NDArray[np.float32] | None = None  # the dense model's outputs (n, ...), where they are known


@dataclass(frozen=True, eq=False)
class Task:
    """Cells to measure on chunks of examples."""

    chunks: tuple[Chunk, ...]
    cells: Mapping[str, tuple[float, ...]]  # layer -> sparsities
    choice: Mapping[str, str] = field(default_factory=dict)  # of evaluators, by place in the graph; torch where empty

    def parts(self, n: int) -> tuple["Task", ...]:
        """Return at most `n` tasks that together do the same, each with some of the chunks."""
        bounds = [round(i * len(self.chunks) / n) for i in range(n + 1)]
        cuts = [self.chunks[a:b] for a, b in pairwise(bounds) if b > a]
        return tuple(replace(self, chunks=cut) for cut in cuts)


@dataclass(frozen=True)
class Result:
    """One cell on one chunk: a tally for each stratum, or why it could not be measured."""

    layer: str
    sparsity: float
    block: int
    chunk: int
    tallies: tuple[Tally, ...] = ()
    error: str = ""


class Executor(Protocol):
    """Measures tasks, here or elsewhere; a cell that fails is a result with an error, never an exception."""

    n_workers: int  # how many parts of a task are measured at once

    def run(self, task: Task, cancelled: Callable[[], bool]) -> Iterator[Result]:
        """Yield a result for each cell and chunk of the task, in any order; ends early when cancelled."""
        ...
