"""`Batch`: where the batch stands in each value of the graph, and what sizes are at another batch."""

from collections.abc import Mapping, Sequence
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

    def rank(self, place: int) -> int | None:
        """Return how many dimensions a value has; None for what is no tensor."""
        value = self._noted[place]
        return value.dim() if isinstance(value, Tensor) else None

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

    def examples(self, values: Mapping[int, Any]) -> int | None:
        """Return how many examples some values are of."""
        dims = ((value, self.dim(place)) for place, value in values.items() if isinstance(value, Tensor))
        return next((int(value.shape[dim]) for value, dim in dims if dim is not None), None)

    def split(self, values: Mapping[int, Any], most: int) -> list[dict[int, Any]]:
        """Return `values` in parts of about equally many examples, at most `most`; whole where that has no meaning."""
        n = self.examples(values) or 0
        dims = {place: self.dim(place) for place in values}
        if n <= most or None in dims.values():
            return [dict(values)]
        parts = {place: value.chunk(-(-n // most), dims[place]) for place, value in values.items()}
        return [dict(zip(parts, part, strict=True)) for part in zip(*parts.values(), strict=True)]


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size
