"""Pieces: a task cut so that several workers are busy, and so that what a dead worker left can be told."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from pruning_core.sensitivity.tasks import Chunk, Result, Task

PER_WORKER = 3  # pieces of a task, so that nobody waits long for the last one

Cell = tuple[str, float]  # layer, sparsity
Position = Callable[[str], int]  # of a layer in the graph
Cost = Callable[[str], int]  # of one cell of a layer


@dataclass(frozen=True, eq=False)
class Piece:
    """Some cells of a task on one of its chunks, in the order in which a worker measures them."""

    whole: Task
    chunk: Chunk
    cells: tuple[Cell, ...]

    def __bool__(self) -> bool:
        return bool(self.cells)

    @property
    def task(self) -> Task:
        """The piece as workers take it."""
        levels: dict[str, tuple[float, ...]] = {}
        for layer, sparsity in self.cells:
            levels[layer] = (*levels.get(layer, ()), sparsity)
        return replace(self.whole, chunks=(self.chunk,), cells=levels)

    def without(self, cells: Iterable[Cell]) -> "Piece":
        """Return what is left."""
        done = set(cells)
        return replace(self, cells=tuple(cell for cell in self.cells if cell not in done))

    def singly(self) -> Iterator["Piece"]:
        """Yield its cells one by one."""
        return (replace(self, cells=(cell,)) for cell in self.cells)

    def failed(self, cell: Cell, why: str) -> Result:
        """Return that one cell of it cannot be measured."""
        layer, sparsity = cell
        return Result(
            layer, sparsity, self.chunk.block, self.chunk.number, error=f"{layer} at sparsity {sparsity:g}: {why}"
        )


def pieces_of(task: Task, n_workers: int, position: Position, cost: Cost) -> list[Piece]:
    """Return the chunks of a task one by one; where they are few, each again cut into runs of layers of like cost.

    Chunks stay whole: their sums are what must not change. A run of layers walks the dense graph once more.
    """
    runs = -(-n_workers * PER_WORKER // len(task.chunks))
    ordered = sorted(task.cells, key=position)
    cells = [[(layer, sparsity) for sparsity in task.cells[layer]] for layer in ordered]
    costs = [cost(layer) * len(task.cells[layer]) for layer in ordered]
    groups = list(_groups(cells, costs, runs))
    return [Piece(task, chunk, group) for chunk in task.chunks for group in groups]


def _groups(cells: list[list[Cell]], costs: list[int], n: int) -> Iterator[tuple[Cell, ...]]:
    """Yield at most `n` runs of layers, each of about an `n`-th of the cost."""
    group: list[Cell] = []
    limit, spent = sum(costs) / n, 0
    for of_layer, cost in zip(cells, costs, strict=True):
        if group and spent + cost / 2 > limit:
            yield tuple(group)
            group, limit = [], limit + sum(costs) / n
        group += of_layer
        spent += cost
    yield tuple(group)
