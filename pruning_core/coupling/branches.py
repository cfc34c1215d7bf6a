"""Residual branches: what is added to a value that goes past it. A branch whose weights are zero adds nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.graph import TRACE_BATCH, ModelGraph
from pruning_core.layers import operator, tensor_at

ADD = "aten.add.Tensor"
MEMORIES = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Branch:
    """One residual branch: `addition` adds its result to `shortcut`, from which the branch starts."""

    addition: str  # name of the node
    shortcut: str  # name of the node that stands for the addition when the branch is gone
    layers: tuple[str, ...]
    tensors: tuple[str, ...]  # dotted names of all parameters that only the branch reads, its layers' weights included


def find_branches(graph: ModelGraph) -> tuple[Branch, ...]:
    """Return the branches of a graph that are zero when their parameters are, innermost first."""
    found = [branch for node in graph.module.graph.nodes for branch in _of_addition(graph, node)]
    return tuple(sorted(found, key=lambda branch: len(branch.tensors)))


def _of_addition(graph: ModelGraph, node: fx.Node) -> Iterator[Branch]:
    if operator(node) != ADD or node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
        return
    left, right = node.args
    for shortcut, result in ((left, right), (right, left)):
        assert isinstance(shortcut, fx.Node)
        assert isinstance(result, fx.Node)
        if shortcut.op == "get_attr" or set(result.users) != {node}:
            continue
        inside = _between(shortcut, result)
        if inside and (branch := _describe(graph, node, shortcut, result, inside)):
            yield branch


def _between(shortcut: fx.Node, result: fx.Node) -> set[fx.Node]:
    """Return the nodes that `result` depends on down to `shortcut`, empty where it depends on other values too."""
    inside, waiting, reached = set(), [result], False
    while waiting:
        node = waiting.pop()
        if node is shortcut:
            reached = True
        elif node.op == "placeholder":
            return set()
        elif node not in inside and not _is_size(node):
            inside.add(node)
            waiting += node.all_input_nodes
    return inside if reached else set()


def _is_size(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (int, torch.SymInt))


def _describe(
    graph: ModelGraph, addition: fx.Node, shortcut: fx.Node, result: fx.Node, inside: set[fx.Node]
) -> Branch | None:
    layers = tuple(layer.name for layer in graph.layers if any(use in inside for use in layer.nodes))
    whole = all(use in inside for layer in graph.layers if layer.name in layers for use in layer.nodes)
    reads = {str(node.target) for node in inside if node.op == "get_attr" and set(node.users) <= inside}
    tensors = tuple(sorted(name for name in reads if _is_weight(graph, name)))
    if not layers or not whole or not _is_zero(graph, shortcut, result, inside, frozenset(tensors)):
        return None
    return Branch(addition.name, shortcut.name, layers, tensors)


def _is_weight(graph: ModelGraph, name: str) -> bool:
    return tensor_at(graph.module, name).is_floating_point() and not name.endswith(MEMORIES)


class _Zeroed(fx.Interpreter):
    """Runs the graph with some parameters zero."""

    def __init__(self, module: fx.GraphModule, zeroed: frozenset[str]) -> None:
        super().__init__(module)
        self.zeroed = zeroed

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return torch.zeros_like(value) if str(target) in self.zeroed else value


def _is_zero(
    graph: ModelGraph, shortcut: fx.Node, result: fx.Node, inside: set[fx.Node], zeroed: frozenset[str]
) -> bool:
    """Whether `result` is zero for a random value of `shortcut` when the tensors `zeroed` are; it is run to see."""
    value = shortcut.meta.get("val")
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    shape = [_size(size) for size in value.shape]
    interpreter = _Zeroed(graph.module, zeroed)
    sizes = {source for node in inside for source in node.all_input_nodes if _is_size(source)}
    interpreter.env = {node: _size(node.meta["val"]) for node in sizes}
    interpreter.env[shortcut] = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(value.dtype)
    try:
        with torch.no_grad():
            for node in graph.module.graph.nodes:
                if node in inside:
                    interpreter.env[node] = interpreter.run_node(node)
    except (RuntimeError, TypeError, ValueError, AssertionError):
        return False  # such as sizes that depend on other values
    found = interpreter.env[result]
    return isinstance(found, Tensor) and not found.count_nonzero()


def _size(size: int | torch.SymInt) -> int:
    return size if isinstance(size, int) else int(size.node.hint or TRACE_BATCH)
