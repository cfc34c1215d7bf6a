"""`Batch`: where the batch stands in each value of the graph, and how a chunk is cut into parts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx


class Batch:
    """Reads the shapes that export noted, in which one symbol stands for the batch."""

    def __init__(self, nodes: Sequence[fx.Node]) -> None:
        self._noted = [node.meta.get("val") for node in nodes]
        inputs = [node.meta.get("val") for node in nodes if node.op == "placeholder"]
        symbols = {_expression(value.shape[0]) for value in inputs if isinstance(value, Tensor)}
        self.symbol = symbols.pop() if len(symbols) == 1 else None

    def dim(self, place: int) -> int | None:
        """Return which dimension of a value is the batch and nothing else."""
        value = self._noted[place]
        shape = value.shape if isinstance(value, Tensor) and self.symbol is not None else ()
        return next((dim for dim, size in enumerate(shape) if _expression(size) == self.symbol), None)

    def is_size(self, place: int) -> bool:
        """Whether a value is a whole number that follows from the batch alone."""
        value = self._noted[place]
        if isinstance(value, torch.SymInt):
            return self.symbol is not None and set(_expression(value).free_symbols) <= {self.symbol}
        return type(value) is int

    def size(self, place: int, n: int) -> int:
        """Return what a size is with `n` examples."""
        value: Any = self._noted[place]
        return int(_expression(value).subs({self.symbol: n})) if isinstance(value, torch.SymInt) else int(value)

    def can_cut(self, places: Iterable[int]) -> bool:
        """Whether each of these values is one piece of data for each example."""
        return all(self.dim(place) is not None for place in places)

    def examples(self, values: Mapping[int, Any]) -> int | None:
        """Return how many examples some values are of."""
        dims = ((value, self.dim(place)) for place, value in values.items() if isinstance(value, Tensor))
        return next((int(value.shape[dim]) for value, dim in dims if dim is not None), None)

    def cut(self, values: Mapping[int, Any], start: int, stop: int) -> dict[int, Any]:
        """Return some of the examples of values that can be cut."""
        dims = {place: self.dim(place) or 0 for place in values}
        return {place: value.narrow(dims[place], start, stop - start) for place, value in values.items()}


def bounds(n: int, most: int) -> list[tuple[int, int]]:
    """Return the ends of parts of about equally many of `n` examples, at most `most` each."""
    n_parts = max(1, -(-n // most))
    return [(n * i // n_parts, n * (i + 1) // n_parts) for i in range(n_parts)]


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size
