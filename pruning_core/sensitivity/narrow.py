"""Take one position early: where only the class token is read at the end, no other token is computed that far.

`select(f(x), position)` is `f(select(x, position))` for every f that treats positions alike, so a length-1 slice moves
up the graph as long as nothing reads the other positions: through norms, linear layers, sums and the queries of
attention, up to the keys and values of the last block. The values are those of the whole computation.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from pruning_core.layers import operator

Cut = tuple[int, int]  # (dimension, position)
Wants = dict[fx.Node, int | None]  # input -> the dimension it is needed at one position of; None: all of it
Rule = Callable[[fx.Node, int], Wants | None]  # None: the operator mixes positions of this dimension
SELECT, SLICE = "aten.select.int", torch.ops.aten.slice.Tensor


def narrow(graph: fx.Graph) -> dict[fx.Node, int]:
    """Rewrite `graph` in place; return for each narrowed node how many positions it had."""
    cuts: dict[fx.Node, Cut] = {}
    for node in reversed(graph.nodes):
        wanted = {_wanted(user, node, cuts) for user in node.users}
        cut = wanted.pop() if len(wanted) == 1 else None
        if cut is not None and _rule(node, cut[0]) is not None:
            cuts[node] = cut
    sizes = {node: _shape(node)[cut[0]] for node, cut in cuts.items()}
    for node in [node for node in graph.nodes if node in cuts]:
        _narrow_one(graph, node, cuts)
    for node in graph.nodes:
        if operator(node) == SELECT and node.args[0] in cuts:
            node.args = (*node.args[:2], 0)
    return sizes


def _wanted(user: fx.Node, node: fx.Node, cuts: dict[fx.Node, Cut]) -> Cut | None:
    if operator(user) == SELECT:
        return _selected(user, node)
    if user not in cuts:
        return None
    dim, position = cuts[user]
    own = (_rule(user, dim) or {}).get(node)
    return None if own is None else (own, position)


def _selected(select: fx.Node, node: fx.Node) -> Cut | None:
    dim, position = select.args[1:3]
    shape = _shape(node)
    if not (isinstance(dim, int) and isinstance(position, int) and shape and isinstance(shape[dim], int)):
        return None
    return dim % len(shape), position % shape[dim]


def _narrow_one(graph: fx.Graph, node: fx.Node, cuts: dict[fx.Node, Cut]) -> None:
    dim, position = cuts[node]
    for source, own in (_rule(node, dim) or {}).items():
        if own is not None and source not in cuts:
            with graph.inserting_before(node):
                part = graph.call_function(SLICE, (source, own, position, position + 1))
            part.meta["val"] = source.meta["val"].narrow(own, 0, 1)
            node.replace_input_with(source, part)
    if operator(node) in _VIEWS:
        shape = list(node.args[1])  # type: ignore[arg-type]
        shape[dim] = 1
        node.args = (node.args[0], shape)


def _shape(node: fx.Node) -> tuple[Any, ...]:
    """Return the shape that export noted, with symbols for unknown sizes; () for what is no tensor."""
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _rule(node: fx.Node, dim: int) -> Wants | None:
    rule = RULES.get(operator(node))
    return rule(node, dim) if rule and _shape(node) else None


def _elementwise(node: fx.Node, dim: int) -> Wants | None:
    wants: Wants = {}
    for source in node.all_input_nodes:
        shape = _shape(source)
        own = dim - (len(_shape(node)) - len(shape))
        wants[source] = own if shape and own >= 0 and shape[own] != 1 else None
    return wants


def _linear(node: fx.Node, dim: int) -> Wants | None:
    if dim == len(_shape(node)) - 1:
        return None
    return dict.fromkeys(node.all_input_nodes) | {node.all_input_nodes[0]: dim}


def _layer_norm(node: fx.Node, dim: int) -> Wants | None:
    normalised: Any = node.args[1]
    if dim >= len(_shape(node)) - len(normalised):
        return None
    return dict.fromkeys(node.all_input_nodes) | {node.all_input_nodes[0]: dim}


def _transpose(node: fx.Node, dim: int) -> Wants | None:
    rank = len(_shape(node))
    first, second = (int(axis) % rank for axis in node.args[1:3])  # type: ignore[arg-type]
    return {node.all_input_nodes[0]: {first: second, second: first}.get(dim, dim)}


def _view(node: fx.Node, dim: int) -> Wants | None:
    source = node.all_input_nodes[0]
    before, after = ([str(size) for size in _shape(n)[: dim + 1]] for n in (source, node))
    return dict.fromkeys(node.all_input_nodes) | {source: dim} if before == after else None


def _slice(node: fx.Node, dim: int) -> Wants | None:
    sliced: Any = node.args[1] if len(node.args) > 1 else 0
    return {node.all_input_nodes[0]: dim} if sliced % len(_shape(node)) != dim else None


def _attention(node: fx.Node, dim: int) -> Wants | None:
    query, *others = node.all_input_nodes  # a mask, dropout or causal order would be a fourth argument
    if dim != len(_shape(node)) - 2 or len(node.args) != 3 or node.kwargs or len(others) != 2:
        return None
    return dict.fromkeys(others) | {query: dim}


_VIEWS = ("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")
RULES: dict[str, Rule] = {
    **dict.fromkeys([f"aten.{name}.Tensor" for name in ("add", "sub", "mul", "div")], _elementwise),
    **dict.fromkeys([f"aten.{name}.default" for name in ("gelu", "relu", "silu", "tanh", "clone")], _elementwise),
    **dict.fromkeys(_VIEWS, _view),
    "aten.linear.default": _linear,
    "aten.layer_norm.default": _layer_norm,
    "aten.transpose.int": _transpose,
    "aten.slice.Tensor": _slice,
    "aten.scaled_dot_product_attention.default": _attention,
}
