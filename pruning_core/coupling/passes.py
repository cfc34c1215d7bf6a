"""The working copy of a graph: rewritten where the operators as traced would tie channels that need not be tied.

The copy shares the tensors of the model and computes the same function.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.layers import operator, tensor_at

VIEWS = frozenset({"aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"})
TRACED_AS = "traced_as"  # of a node of the working copy that stands for another: that one's name
_SPLITS = frozenset({"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default"})
_TURNS = frozenset({"aten.t.default", "aten.transpose.int", "aten.permute.default"})


@dataclass(frozen=True)
class Part:
    """A parameter of the working copy that is a run of indices of a packed parameter of the model."""

    packed: str  # dotted name in the model
    dim: int  # the stored dimension that was split
    start: int


def working_copy(original: fx.GraphModule) -> tuple[fx.GraphModule, dict[str, Part]]:
    """Return a copy of `original` with shared tensors, and its parts of packed parameters by dotted name."""
    module = fx.GraphModule(original, deepcopy(original.graph))
    parts = _split_packed(module)
    _turn_weights_back(module)
    _shuffles_to_index(module)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return module, parts


def _calls(module: fx.GraphModule, names: frozenset[str]) -> Iterator[fx.Node]:
    for node in list(module.graph.nodes):
        if node.op == "call_function" and operator(node) in names:
            yield node


def _is_parameter(module: fx.GraphModule, node: object) -> bool:
    return (
        isinstance(node, fx.Node)
        and node.op == "get_attr"
        and isinstance(tensor_at(module, str(node.target)), nn.Parameter)
    )


def _split_packed(module: fx.GraphModule) -> dict[str, Part]:
    """Make separate parameters of one that the graph splits first, such as query, key and value of cross-attention."""
    parts: dict[str, Part] = {}
    for node in _calls(module, _SPLITS):
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if not _is_parameter(module, source) or any(operator(user) not in _SPLITS for user in source.users):
            continue
        packed, name = tensor_at(module, str(source.target)).detach(), str(source.target)
        dim = int(node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)) % packed.dim()  # type: ignore[arg-type]
        pieces = node.target(packed, *node.args[1:], **node.kwargs)  # type: ignore[operator]
        starts = [sum(piece.shape[dim] for piece in pieces[:i]) for i in range(len(pieces))]
        for user in list(node.users):
            index = int(user.args[1])  # type: ignore[arg-type]
            part = f"{name}_part{index}"
            _store(module, part, nn.Parameter(pieces[index], requires_grad=False))
            parts[part] = Part(name, dim, starts[index])
            _replace(module, user, module.graph.get_attr, part)
    return parts


def _turn_weights_back(module: fx.GraphModule) -> None:
    """Let `x @ weight.t()` read the stored weight: a matmul becomes a linear, and the other way round."""
    aten = torch.ops.aten
    for node in _calls(module, frozenset({"aten.mm.default", "aten.matmul.default"})):
        if (weight := _turned(module, node.args[1])) is not None:
            _replace(module, node, module.graph.call_function, aten.linear.default, (node.args[0], weight))
    for node in _calls(module, frozenset({"aten.linear.default"})):
        if (weight := _turned(module, node.args[1])) is not None and len(node.args) < 3:
            _replace(module, node, module.graph.call_function, aten.matmul.default, (node.args[0], weight))
    for node in _calls(module, frozenset({"aten.addmm.default"})):
        bias, x, turned = node.args
        if (weight := _turned(module, turned)) is not None and not node.kwargs and _vector(bias):
            _replace(module, node, module.graph.call_function, aten.linear.default, (x, weight, bias))


def _turned(module: fx.GraphModule, node: object) -> fx.Node | None:
    """Return the node of the parameter of two dimensions behind a transposition."""
    if not isinstance(node, fx.Node) or operator(node) not in _TURNS:
        return None
    source: Any = node.args[0]
    if not _is_parameter(module, source) or source.meta["val"].dim() != 2:
        return None
    order: Any = (0, 1) if operator(node) == "aten.t.default" else node.args[1:]
    if operator(node) == "aten.permute.default":
        order = node.args[1]
    return source if order[0] % 2 != order[1] % 2 and not _keeps_order(node, order) else None


def _keeps_order(node: fx.Node, order: Any) -> bool:
    return operator(node) == "aten.permute.default" and order[0] % 2 == 0


def _vector(node: object) -> bool:
    return isinstance(node, fx.Node) and node.meta["val"].dim() == 1


def _shuffles_to_index(module: fx.GraphModule) -> None:
    """Make a channel shuffle (view, transpose, view) one index_select.

    As views any subset of channels would have to stay a (groups, channels) rectangle, and a row of such blocks
    couples almost everything; as an index any subset may stay. Zhang et al. 2018 (ShuffleNet), arXiv:1707.01083.
    """
    for last in _calls(module, VIEWS | {"aten.channel_shuffle.default"}):
        source, groups = _shuffled(last)
        if source is None:
            continue
        channels = int(source.meta["val"].shape[1])
        order = torch.arange(channels).reshape(groups, -1).t().reshape(-1).clone()
        module.register_buffer(f"_order_{last.name}", order, persistent=False)
        with module.graph.inserting_before(last):
            index = module.graph.get_attr(f"_order_{last.name}")
        _replace(module, last, module.graph.call_function, torch.ops.aten.index_select.default, (source, 1, index))


def _shuffled(last: fx.Node) -> tuple[fx.Node | None, int]:
    """Return what a view shuffles and in how many groups, or None."""
    middle = last.args[0]
    if operator(last) == "aten.channel_shuffle.default" and isinstance(middle, fx.Node):
        return middle, int(last.args[1])  # type: ignore[arg-type]
    while isinstance(middle, fx.Node) and operator(middle) in ("aten.clone.default", "aten.contiguous.default"):
        middle = middle.args[0]
    if not isinstance(middle, fx.Node) or operator(middle) not in _TURNS or not isinstance(middle.args[0], fx.Node):
        return None, 0
    first = middle.args[0]
    if operator(first) not in VIEWS or not isinstance(first.args[0], fx.Node):
        return None, 0
    source = first.args[0]
    before, split, turned, after = (node.meta["val"].shape for node in (source, first, middle, last))
    swapped = list(map(str, [split[0], split[2], split[1], *split[3:]])) if len(split) > 2 else []
    fits = list(map(str, turned)) == swapped and _swaps_1_and_2(middle) and str(before) == str(after)
    if not fits or str(split[3:]) != str(before[2:]) or split[1] * split[2] != before[1]:
        return None, 0
    return source, int(split[1])


def _swaps_1_and_2(node: fx.Node) -> bool:
    rank, arguments = node.meta["val"].dim(), list[Any](node.args)
    if operator(node) == "aten.transpose.int":
        return sorted(int(dim) % rank for dim in arguments[1:]) == [1, 2]
    return len(arguments) > 1 and [dim % rank for dim in arguments[1]] == [0, 2, 1, *range(3, rank)]


def _replace(module: fx.GraphModule, node: fx.Node, make: object, *arguments: object) -> None:
    with module.graph.inserting_before(node):
        new = make(*arguments)  # type: ignore[operator]
    new.meta.update({TRACED_AS: node.name} | node.meta)
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)


def _store(module: nn.Module, dotted: str, value: Tensor) -> None:
    path, _, leaf = dotted.rpartition(".")
    setattr(module.get_submodule(path), leaf, value)
