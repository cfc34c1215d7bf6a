"""Residual branches: what is added to a value that goes past it, as it is or through fewer layers (a projection).

A branch whose weights are zero adds nothing.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, fx

from pruning_core.coupling.skippable import Named, Skippable, is_size, run_between, shape_of
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, operator, tensor_at

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
        if branch := _describe(graph, node, shortcut, result):
            yield branch


def _describe(graph: ModelGraph, addition: fx.Node, shortcut: fx.Node, result: fx.Node) -> Skippable | None:
    beside, own = _cone(shortcut), _cone(result)
    inside = own - beside
    sources = {source for node in inside for source in node.all_input_nodes if source in beside}
    constants = set[fx.Node]().union(*(cone for source in sources if not _has_input(cone := _cone(source))))
    layers = _layers(graph, inside)
    is_branch = sources - constants and len(layers) > len(_layers(graph, beside - own))  # the shorter is the shortcut
    if not is_branch or not _is_closed(graph, addition, inside, layers):
        return None
    reads = {str(node.target) for node in inside if node.op == "get_attr" and set(node.users) <= inside}
    names = tuple(sorted(name for name in reads if _is_weight(graph, name)))
    zeros = {name: torch.zeros_like(tensor_at(graph.module, name)) for name in names}
    found = run_between(graph, sources - constants, result, inside | constants, zeros)
    if found is None or found[result].count_nonzero():
        return None
    return Skippable(
        shortcut.name, addition.name, tuple(layer.name for layer in layers), partial(_without, graph, names)
    )


def _cone(result: fx.Node) -> set[fx.Node]:
    """Return the nodes that a value depends on, itself included, but not through sizes."""
    found, waiting = set[fx.Node](), [result]
    while waiting:
        node = waiting.pop()
        if node not in found and not is_size(node):
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _layers(graph: ModelGraph, nodes: set[fx.Node]) -> list[Layer]:
    return [layer for layer in graph.layers if any(use in nodes for use in layer.nodes)]


def _is_closed(graph: ModelGraph, addition: fx.Node, inside: set[fx.Node], layers: list[Layer]) -> bool:
    """Whether nothing but the addition needs what is computed `inside`, and nothing else comes in."""
    users = {user for node in inside if node.op != "get_attr" for user in node.users if not is_size(user)}
    needed = {user for user in users if user.users or user.op == "output"}  # checks of the tracer need nothing
    whole = all(use in inside for layer in layers for use in layer.nodes)
    return whole and needed <= inside | {addition} and not _has_input(inside)


def _has_input(nodes: set[fx.Node]) -> bool:
    return any(node.op == "placeholder" for node in nodes)


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
