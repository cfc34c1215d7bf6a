"""Layers whose input and output agree: with other weights, such a layer passes on what it is given.

The layer and a batch norm right behind it are skipped; an activation stays, since no weights make it an identity. So a
block of several layers is skipped layer by layer, where each of them agrees.
"""

from functools import partial

import torch
from torch import Tensor, fx

from pruning_core.coupling.skippable import Named, Skippable, run_between, shape_of
from pruning_core.graph import ModelGraph
from pruning_core.layers import BATCH_NORM, EMBEDDING, Layer, operator, tensor_at

CLOSE = 1e-5  # of the largest input: what rounding may leave of the difference between output and input
TINY = 1e-6  # a batch norm's factor below this would ask for weights above a million


def identity_of(graph: ModelGraph, layer: Layer) -> Skippable | str:
    """Return layer `layer` as what may be skipped, or why it cannot pass on its input."""
    node, *others = layer.nodes
    source = node.args[1 if operator(node) == "aten.addmm.default" else 0]
    if others:
        return f"it is used {len(layer.nodes)} times"
    if operator(node) == EMBEDDING or not isinstance(source, fx.Node):
        return "its input is no value of its kind"
    norm = _norm_of(node)
    result = node if norm is None else next(iter(norm.users))
    if shape_of(source) != shape_of(result):
        entering, leaving = (f"({', '.join((shape_of(end) or ())[1:])})" for end in (source, result))
        return f"its input {entering} and output {leaving} differ in shape"
    return _with_weights(graph, layer, source, result, norm)


def _with_weights(
    graph: ModelGraph, layer: Layer, source: fx.Node, result: fx.Node, norm: fx.Node | None
) -> Skippable | str:
    if norm is not None and bool((_vectors(graph, norm)[0].abs() < TINY).any()):
        return "its batch norm has a channel with a factor of 0"
    masks, values = _passing_on(graph, layer, norm)
    if not values:
        return "its batch norm has no shift that could undo its mean"
    names = {name: layer.parameter if name == layer.name else name for name in (*masks, *values)}
    inside = {layer.nodes[0], result} | ({norm} if norm else set())
    inside |= {node for used in list(inside) for node in used.all_input_nodes if node is not source}
    inside |= {node for used in list(inside) for node in used.all_input_nodes if node.op == "get_attr"}
    if any(_is_read_elsewhere(graph, name, inside) for name in names.values()):
        return "its parameters are read by other operators too"
    stored = _stored(graph, layer, masks, values)
    found = run_between(graph, [source], result, inside, stored)
    if found is None or not bool((found[result] - found[source]).abs().max() <= CLOSE * found[source].abs().max()):
        return "no weights make it pass on what it is given"
    return Skippable(source.name, result.name, (layer.name,), partial(_passing_on, graph, layer, norm))


def _norm_of(node: fx.Node) -> fx.Node | None:
    """Return the batch norm that alone reads a layer's output, if any."""
    users = list(node.users)
    is_norm = len(users) == 1 and operator(users[0]) == BATCH_NORM and users[0].args[0] is node
    return users[0] if is_norm and len(users[0].users) == 1 else None


def _passing_on(graph: ModelGraph, layer: Layer, norm: fx.Node | None) -> tuple[Named, Named]:
    """Return the mask and the values with which the layer and its norm pass on their input; no values: none do.

    The norm computes (y - mean) · factor + shift, so the layer multiplies by 1 / factor and one vector undoes the rest.
    """
    one = unit(layer).to(graph.weight(layer.name).dtype)
    masks = {layer.name: one != 0}
    if norm is None:
        bias = {} if layer.bias is None else {layer.bias: tensor_at(graph.module, layer.bias)}
        return masks | {name: torch.zeros_like(b, dtype=torch.bool) for name, b in bias.items()}, {layer.name: one}
    factor, mean, shift = _vectors(graph, norm)
    values = {layer.name: one / factor.reshape(-1, *[1] * (one.dim() - 1))}
    if layer.bias is not None:
        return masks, values | {layer.bias: mean - (0 if shift is None else shift) / factor}
    if shift is not None:
        return masks, values | {str(norm.args[2].target): mean * factor}  # type: ignore[union-attr]
    return masks, {} if bool(mean.any()) else values


def _vectors(graph: ModelGraph, norm: fx.Node) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return what a batch norm multiplies by, its mean and its shift, each (channels,)."""
    scale, shift, mean, variance = (_stored_at(graph, argument) for argument in norm.args[1:5])
    assert mean is not None
    assert variance is not None
    factor = torch.rsqrt(variance + float(norm.args[6]))  # type: ignore[arg-type]
    return factor if scale is None else factor * scale, mean, shift


def unit(layer: Layer) -> Tensor:
    """Return the weight (out, in / groups, *kernel) that takes each output from its own input's centre."""
    out, per_group, *kernel = layer.weight_shape
    weight = torch.zeros(layer.weight_shape)
    centre = weight
    for size in kernel:
        centre = centre.select(2, (size - 1) // 2)
    channel = torch.arange(out)
    centre[channel, channel % per_group] = 1
    return weight


def _stored_at(graph: ModelGraph, argument: object) -> Tensor | None:
    return tensor_at(graph.module, str(argument.target)).detach() if isinstance(argument, fx.Node) else None


def _stored(graph: ModelGraph, layer: Layer, masks: Named, values: Named) -> Named:
    """Return the parameters as they are stored: new values, then masks."""
    found = {name: values.get(name, tensor_at(graph.module, name)) for name in {*masks, *values} - {layer.name}}
    found = {name: value * masks[name] if name in masks else value for name, value in found.items()}
    return found | {layer.parameter: layer.stored(values[layer.name])}


def _is_read_elsewhere(graph: ModelGraph, name: str, inside: set[fx.Node]) -> bool:
    """Whether operators outside read the same tensor, under whatever name."""
    tensor = tensor_at(graph.module, name)
    for node in graph.module.graph.nodes:
        if node.op == "get_attr" and isinstance(other := tensor_at(graph.module, str(node.target)), Tensor):
            same = (other.data_ptr(), other.shape) == (tensor.data_ptr(), tensor.shape)
            if same and not set(node.users) <= inside:
                return True
    return False
