"""Labels of stored tensors: per index of a dimension (slots) for weights, per element for plain data."""

from collections.abc import Iterable
from math import prod
from typing import Any

from torch import Tensor, fx

from pruning_core.coupling.labels import Labels, no_channels
from pruning_core.coupling.passes import Part
from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at

MOST_ELEMENTS = 4_000_000  # of a plain tensor; 8 bytes of label each


class StoredTensors:
    """The parameters and buffers of the working copy; tied weights have one name."""

    def __init__(self, module: fx.GraphModule, graph: ModelGraph, parts: dict[str, Part]) -> None:
        self.module, self.original, self.parts, self.labels = module, graph.module, parts, Labels()
        self.by_slot: dict[tuple[str, int], Tensor] = {}  # a stored dimension -> label per index
        self.by_element: dict[str, Tensor] = {}  # plain data -> label per element
        self._names: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
        layers = [layer.parameter for layer in graph.layers]
        named = [*graph.module.named_parameters(), *graph.module.named_buffers()]
        self._add((name, tensor_at(graph.module, name)) for name in layers)
        self._add(named)

    def _add(self, named: Iterable[tuple[str, Tensor]]) -> None:
        for name, tensor in named:
            self._names.setdefault(_key(tensor), name)

    def tensor(self, node: fx.Node) -> Tensor:
        """Return what a get_attr node reads."""
        return tensor_at(self.module, str(node.target))

    def is_tensor(self, node: fx.Node) -> bool:
        """Whether a get_attr node reads a tensor, not a nested graph."""
        return isinstance(self.tensor(node), Tensor)

    def is_stored(self, node: Any) -> bool:
        """Whether `node` reads a stored tensor that has channels: ids and masks have none."""
        return (
            isinstance(node, fx.Node)
            and node.op == "get_attr"
            and self.is_tensor(node)
            and (self.tensor(node).is_floating_point() or self.tensor(node).is_complex())
        )

    def name(self, node: fx.Node) -> str:
        """Return the one dotted name of a stored tensor."""
        return self._names.setdefault(_key(self.tensor(node)), str(node.target))

    def slots(self, node: fx.Node, dim: int) -> Tensor:
        """Return a label per index of a stored dimension; parts of a packed tensor share the others."""
        name, tensor = self.name(node), self.tensor(node)
        if tensor.dim() == 1:
            return self.elements(node)
        part = self.parts.get(name)
        key = (part.packed, dim) if part and part.dim != dim else (name, dim)
        if key not in self.by_slot:
            self.by_slot[key] = self.labels.fresh(tensor.shape[dim])
        return self.by_slot[key]

    def elements(self, node: fx.Node) -> Tensor:
        """Return a label per element of plain data."""
        name, tensor = self.name(node), self.tensor(node)
        if name not in self.by_element:
            self.by_element[name] = self._elements(name, tensor, self.is_stored(node))
        return self.by_element[name]

    def _elements(self, name: str, tensor: Tensor, has_channels: bool) -> Tensor:
        if not tensor.dim() or not tensor.numel() or not has_channels:
            return no_channels(tensor.shape)
        if tensor.numel() <= MOST_ELEMENTS:
            return self.labels.fresh(*tensor.shape)
        one = self.labels.fresh(*[1] * tensor.dim())
        self.labels.freeze(one, f"meets '{name}', plain data of {prod(tensor.shape):,} elements: too large to follow")
        return one.expand(tensor.shape)


def _key(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    address = tensor.data_ptr() if tensor.numel() else id(tensor)
    return address, tuple(tensor.shape), tuple(tensor.stride())
