"""Preparing the graph for replay: batch norms folded into the convolution before them, channels_last tensors."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import cast

import torch
from torch import Tensor, fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import BATCH_NORM, WEIGHT_USES, Layer, operator, tensor_at
from pruning_core.sensitivity.narrow import narrow
from pruning_core.sensitivity.norms import LivingLines

_VIEWS = ("aten.view.default", "aten._unsafe_view.default")


@dataclass(frozen=True)
class Folded:
    """The bias that a folded batch norm leaves: (bias - mean) * scale + beta."""

    scale: Tensor  # (out,)
    constant: str  # name of the buffer that holds the new bias
    bias: str  # name of the layer's own bias, or empty
    vectors: tuple[str, ...]  # names of all that it was made from


@dataclass(frozen=True)
class Prepared:
    """A graph ready for replay, computing what the model computes."""

    module: fx.GraphModule
    scales: dict[str, Tensor]  # folded layer -> factor (out,) on its weight
    folded: dict[str, Folded]  # folded layer -> its new bias, and what went into it
    readers: dict[str, tuple[fx.Node, ...]]  # layer -> nodes that read its weight from the module, under any name
    macs: dict[fx.Node, int]
    example_bytes: dict[fx.Node, int]  # of the node's value for one example


def prepare(graph: ModelGraph, norms: LivingLines | None = None) -> Prepared:
    """Return a copy of the graph prepared for replay; it shares the model's tensors and changes none.

    With `norms` those that may lose channels read which ones live.
    """
    module = fx.GraphModule(graph.module, deepcopy(graph.module.graph))
    readers = {layer.name: weight_readers(module, layer) for layer in graph.layers}
    found = {layer.name: _fold_batch_norm(module, layer, readers[layer.name]) for layer in graph.layers}
    folded = {name: fold for name, fold in found.items() if fold is not None}
    scales = {name: fold.scale for name, fold in folded.items()}
    positions = narrow(module.graph)
    if norms is not None:
        norms.read(module)
    macs = {n: graph.macs_by_node.get(n.name, 0) // positions.get(n, 1) for n in module.graph.nodes}
    example_bytes = {n: _example_bytes(n) for n in module.graph.nodes}
    for node in module.graph.nodes:
        if operator(node) in _VIEWS:
            node.target = torch.ops.aten.reshape.default  # a view of a channels_last tensor may need a copy
    return Prepared(module, scales, folded, readers, macs, example_bytes)


def _example_bytes(node: fx.Node) -> int:
    """Return the bytes of one example by the shape that export noted; 0 for what is no tensor."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return 0
    return prod(size for size in value.shape if isinstance(size, int)) * value.element_size()


def weight_readers(module: fx.GraphModule, layer: Layer) -> tuple[fx.Node, ...]:
    """Return all nodes that read the layer's weight, under whatever name (tied weights)."""
    weight = place(tensor_at(module, layer.parameter))
    nodes = (node for node in module.graph.nodes if node.op == "get_attr")
    return tuple(node for node in nodes if place(tensor_at(module, str(node.target))) == weight)


def place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return what tied tensors have in common."""
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride())


def _fold_batch_norm(module: fx.GraphModule, layer: Layer, readers: tuple[fx.Node, ...]) -> Folded | None:
    """Fold the batch norm after `layer` where that changes nothing else."""
    uses = [user for reader in readers for user in reader.users]
    if len(uses) != 1 or not operator(uses[0]).startswith("aten.conv") or operator(uses[0]) not in WEIGHT_USES:
        return None
    conv, norm = uses[0], next(iter(uses[0].users))
    if len(conv.users) != 1 or operator(norm) != BATCH_NORM or norm.args[0] is not conv:
        return None
    bias_argument = conv.args[2] if len(conv.args) > 2 else None
    bias, gamma, beta, mean, variance = (_constant(module, a) for a in (bias_argument, *norm.args[1:5]))
    known = [tensor for tensor in (bias, gamma, beta, mean, variance) if tensor is not None]
    if mean is None or variance is None or any(tensor.dtype != _weight_type(module, layer) for tensor in known):
        return None
    scale = torch.rsqrt(variance + cast(float, norm.args[6]))
    scale = scale if gamma is None else scale * gamma
    shift = (-mean if bias is None else bias - mean) * scale
    sources = [bias_argument, *norm.args[1:4]]
    names = tuple(str(source.target) for source in sources if isinstance(source, fx.Node))
    own_bias = str(bias_argument.target) if isinstance(bias_argument, fx.Node) else ""
    constant = _replace(module, conv, norm, shift if beta is None else shift + beta)
    return Folded(scale, constant, own_bias, names)


def _weight_type(module: fx.GraphModule, layer: Layer) -> torch.dtype:
    return tensor_at(module, layer.parameter).dtype


def _constant(module: fx.GraphModule, argument: object) -> Tensor | None:
    """Return the parameter or buffer that stands as an argument; a computed one is a tensor of no type that fits."""
    if not isinstance(argument, fx.Node):
        return None
    return tensor_at(module, str(argument.target)).detach() if argument.op == "get_attr" else torch.empty(0).bool()


def _replace(module: fx.GraphModule, conv: fx.Node, norm: fx.Node, bias: Tensor) -> str:
    name = f"_folded_{conv.name}"
    module.register_buffer(name, bias)
    with module.graph.inserting_before(conv):
        bias_node = module.graph.get_attr(name)
    conv.args = (*conv.args[:2], bias_node, *conv.args[3:])
    for user in list(norm.users):
        user.replace_all_uses_with(conv)
        module.graph.erase_node(user)
    module.graph.erase_node(norm)
    return name


def needed(nodes: Iterable[fx.Node], output: fx.Node) -> set[fx.Node]:
    """Return the nodes that `output` depends on; checks and unused results are left out."""
    found = {output}
    for node in reversed(list(nodes)):
        if node in found:
            found.update(node.all_input_nodes)
    return found


def channels_last(tensor: Tensor) -> Tensor:
    """Return `tensor` in the layout that is fastest here: 4 dimensions channels_last, others contiguous.

    With one channel torch calls any layout channels_last, and a convolution would answer in the slower one; so the
    strides are made anew.
    """
    if tensor.dim() != 4:
        return tensor.contiguous()
    if tensor.shape[1] > 1:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
