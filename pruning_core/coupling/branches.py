"""Residual branches: what is added to a value that goes past it. A branch whose weights are zero adds nothing."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, fx

from pruning_core.coupling.skippable import Named, Skippable, is_size, run_between, shape_of
from pruning_core.graph import ModelGraph
from pruning_core.layers import operator, tensor_at

ADD = "aten.add.Tensor"
MEMORIES = ("running_mean", "running_var", "num_batches_tracked")


def find_branches(graph: ModelGraph) -> tuple[Skippable, ...]:
    """Return the branches of a graph that are zero when the parameters that only they read are, innermost first."""
    found = [branch for node in graph.module.graph.nodes for branch in _of_addition(graph, node)]
    return tuple(sorted(found, key=lambda branch: len(branch.layers)))


def _of_addition(graph: ModelGraph, node: fx.Node) -> Iterator[Skippable]:
    if operator(node) != ADD or node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
        return
    left, right = node.args
    for shortcut, result in ((left, right), (right, left)):
        assert isinstance(shortcut, fx.Node)
        assert isinstance(result, fx.Node)
        repeated = shape_of(shortcut) is None or shape_of(shortcut) != shape_of(node)  # then it is no shortcut
        if repeated or shortcut.op == "get_attr" or set(result.users) != {node}:
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
        elif node not in inside and not is_size(node):
            inside.add(node)
            waiting += node.all_input_nodes
    return inside if reached else set()


def _describe(
    graph: ModelGraph, addition: fx.Node, shortcut: fx.Node, result: fx.Node, inside: set[fx.Node]
) -> Skippable | None:
    layers = [layer for layer in graph.layers if any(use in inside for use in layer.nodes)]
    whole = all(use in inside for layer in layers for use in layer.nodes)
    reads = {str(node.target) for node in inside if node.op == "get_attr" and set(node.users) <= inside}
    names = tuple(sorted(name for name in reads if _is_weight(graph, name)))
    if not layers or not whole:
        return None
    zeros = {name: torch.zeros_like(tensor_at(graph.module, name)) for name in names}
    found = run_between(graph, shortcut, result, inside, zeros)
    if found is None or found[1].count_nonzero():
        return None
    change = partial(_without, graph, names)
    return Skippable(shortcut.name, addition.name, tuple(layer.name for layer in layers), change)


def _without(graph: ModelGraph, names: tuple[str, ...]) -> tuple[Named, Named]:
    """Return masks that keep nothing of the parameters `names`."""
    layers = {layer.parameter: layer for layer in graph.layers}
    masks = {}
    for name in names:
        mask = torch.zeros(tensor_at(graph.module, name).shape, dtype=torch.bool)
        layer = layers.get(name)
        masks[layer.name if layer else name] = layer.canonical(mask) if layer else mask
    return masks, {}


def _is_weight(graph: ModelGraph, name: str) -> bool:
    tensor: Tensor = tensor_at(graph.module, name)
    return tensor.is_floating_point() and not name.endswith(MEMORIES)
