"""Preparing the graph for replay: batch norms folded into the convolution before them, channels_last tensors."""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import BATCH_NORM, Layer, operator, tensor_at


def fold_batch_norms(graph: ModelGraph) -> tuple[fx.GraphModule, dict[str, Tensor]]:
    """Return a copy of the graph with batch norms folded, and the scale of each folded layer's outputs."""
    module = fx.GraphModule(graph.module, deepcopy(graph.module.graph))
    nodes = {node.name: node for node in module.graph.nodes}
    scales = {}
    for layer in graph.layers:
        node = nodes[layer.nodes[0].name]
        if layer.kind.startswith("conv") and layer.batch_norm and len(layer.nodes) == 1:
            scales[layer.name] = _fold_one(module, layer, node)
    for node in module.graph.nodes:
        if operator(node) in ("aten.view.default", "aten._unsafe_view.default"):
            node.target = torch.ops.aten.reshape.default  # a view of a channels_last tensor may need a copy
    return module, scales


def _fold_one(module: fx.GraphModule, layer: Layer, conv: fx.Node) -> Tensor:
    norm = next(iter(conv.users))
    assert operator(norm) == BATCH_NORM  # find_layers saw it
    gamma, beta, mean, var = (tensor_at(module, str(a.target)).detach() for a in norm.args[1:5])  # type: ignore[union-attr]
    epsilon = cast(float, norm.args[6])
    scale = gamma / torch.sqrt(var + epsilon)
    bias = tensor_at(module, layer.bias).detach() if layer.bias else torch.zeros_like(mean)
    name = "_folded_" + layer.name.replace(".", "_")
    module.register_buffer(name, (bias - mean) * scale + beta)
    with module.graph.inserting_before(conv):
        bias_node = module.graph.get_attr(name)
    conv.args = (conv.args[0], conv.args[1], bias_node, *conv.args[3:])
    for user in list(norm.users):
        user.replace_all_uses_with(conv)
        module.graph.erase_node(user)
    module.graph.erase_node(norm)
    weight = tensor_at(module, layer.parameter).detach()
    return scale.to(weight.dtype)


def channels_last(tensor: Tensor) -> Tensor:
    """Return `tensor` in the layout that is fastest here: 4 dimensions channels_last, others contiguous."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.contiguous()


def weight_readers(module: fx.GraphModule, index: dict[fx.Node, int], layer: Layer) -> tuple[int, ...]:
    """Positions of all nodes that read the layer's weight, under whatever name (tied weights)."""
    address = tensor_at(module, layer.parameter).data_ptr()
    readers = (node for node in index if node.op == "get_attr")
    return tuple(index[node] for node in readers if tensor_at(module, str(node.target)).data_ptr() == address)
