"""`Skippable`: a part of the graph whose result may be what enters it; and running such a part alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.graph import TRACE_BATCH, ModelGraph

Named = dict[str, Tensor]  # by layer (out, in, *kernel), or by parameter as it is stored


@dataclass(frozen=True, eq=False)
class Skippable:
    """What may be skipped. Its function is then that of other parameters: `change` makes their masks and new values."""

    source: str  # name of the node that stands for `result` when this is skipped
    result: str  # name of the node
    layers: tuple[str, ...]
    change: Callable[[], tuple[Named, Named]]  # masks, and values that take their places before


def shape_of(node: fx.Node) -> tuple[str, ...] | None:
    """Return the shape of a node's tensor of numbers, sizes that depend on the batch by name; None for all else."""
    value = node.meta.get("val")
    return tuple(map(str, value.shape)) if isinstance(value, Tensor) and value.is_floating_point() else None


def is_size(node: fx.Node) -> bool:
    """Whether a node is a number, such as a size of the batch."""
    return isinstance(node.meta.get("val"), (int, torch.SymInt))


class _With(fx.Interpreter):
    """Runs the graph with other values of some parameters."""

    def __init__(self, module: fx.GraphModule, values: Mapping[str, Tensor]) -> None:
        super().__init__(module)
        self.values = values

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.values[str(target)] if str(target) in self.values else super().get_attr(target, args, kwargs)


def run_between(
    graph: ModelGraph, sources: Iterable[fx.Node], result: fx.Node, inside: set[fx.Node], values: Mapping[str, Tensor]
) -> dict[fx.Node, Tensor] | None:
    """Return random values of `sources` and what the nodes `inside` make of them, `result` last.

    `values` are other values of parameters, as stored. None where these nodes cannot run alone.
    """
    interpreter = _With(graph.module, values)
    sizes = {used for node in inside for used in node.all_input_nodes if is_size(used)}
    interpreter.env = {node: _size(node.meta["val"]) for node in sizes}
    generator, found = torch.Generator().manual_seed(0), dict[fx.Node, Tensor]()
    for source in sources:
        if shape_of(source) is None:
            return None
        example = source.meta["val"]
        found[source] = torch.randn([_size(n) for n in example.shape], generator=generator).to(example.dtype)
    interpreter.env |= found
    try:
        with torch.no_grad():
            for node in graph.module.graph.nodes:
                if node in inside:
                    interpreter.env[node] = interpreter.run_node(node)
    except (RuntimeError, TypeError, ValueError, AssertionError):
        return None  # such as sizes that depend on other values
    return found | {result: interpreter.env[result]}


def _size(size: int | torch.SymInt) -> int:
    return size if isinstance(size, int) else int(size.node.hint or TRACE_BATCH)
