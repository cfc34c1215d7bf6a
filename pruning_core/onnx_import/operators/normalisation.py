"""Normalisations: batch, instance, layer, group, root mean square, local response."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import MICROSOFT, Node, operator
from pruning_core.onnx_import.values import Unsupported

_AFFINE = {1: "weight", 2: "bias"}


@operator("BatchNormalization", weights={**_AFFINE, 3: "running_mean", 4: "running_var"})
def batch_norm(node: Node, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """With stored statistics. Ioffe and Szegedy 2015, arXiv:1502.03167."""
    if node.get("training_mode") or node.get("is_test", 1) == 0:
        raise Unsupported("it is exported in training mode; export the model in evaluation mode")
    if node.get("spatial", 1) == 0:
        raise Unsupported("statistics for each pixel (spatial = 0) are not supported")
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, node.get("epsilon", 1e-5))


@operator("InstanceNormalization", weights=_AFFINE)
def instance_norm(node: Node, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each example by itself. Ulyanov et al. 2016, arXiv:1607.08022."""
    return F.instance_norm(x, weight=weight, bias=bias, eps=node.get("epsilon", 1e-5))


@operator("LayerNormalization", weights=_AFFINE)
def layer_norm(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """Over the axes from one on. Ba et al. 2016, arXiv:1607.06450."""
    axis, epsilon = node.get("axis", -1) % x.dim(), node.get("epsilon", 1e-5)
    shape = list(x.shape[axis:])
    if node.outputs == 1 and list(weight.shape) == shape and (bias is None or list(bias.shape) == shape):
        return F.layer_norm(x, shape, weight, bias, epsilon)
    dims = tuple(range(axis, x.dim()))
    mean = x.mean(dims, keepdim=True)
    deviation = torch.rsqrt(x.var(dims, correction=0, keepdim=True) + epsilon)
    result = (x - mean) * deviation * weight
    result = result if bias is None else result + bias
    return (result, mean, deviation)[: node.outputs]


@operator("RMSNormalization", weights={1: "weight"})
@operator("SimplifiedLayerNormalization", f"{MICROSOFT}.SimplifiedLayerNormalization", weights={1: "weight"})
def rms_norm(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    """Zhang and Sennrich 2019, arXiv:1910.07467."""
    axis, epsilon = node.get("axis", -1) % x.dim(), node.get("epsilon", 1e-5)
    if list(weight.shape) == list(x.shape[axis:]) and x.dtype == weight.dtype:
        return F.rms_norm(x, list(x.shape[axis:]), weight, epsilon)
    mean_square = x.float().square().mean(tuple(range(axis, x.dim())), keepdim=True)
    return (x * torch.rsqrt(mean_square + epsilon)).to(weight.dtype) * weight


@operator("GroupNormalization", weights=_AFFINE)
def group_norm(node: Node, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Wu and He 2018, arXiv:1803.08494; a weight for each group until opset 20, for each channel since."""
    groups, channels = node["num_groups"], x.shape[1]
    if node.opset < 21 and weight.numel() == groups != channels:
        weight, bias = (vector.repeat_interleave(channels // groups) for vector in (weight, bias))
    return F.group_norm(x, groups, weight, bias, node.get("epsilon", 1e-5))


@operator("LRN")
def local_response_norm(node: Node, x: Tensor) -> Tensor:
    """Over neighbouring channels. Krizhevsky et al. 2012."""
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    size = node["size"]
    if size % 2:
        return F.local_response_norm(x, size, alpha, beta, bias)
    before = (size - 1) // 2
    squares = F.pad(x.square(), [0, 0] * (x.dim() - 2) + [before, size - 1 - before])
    total = torch.stack([squares.narrow(1, i, x.shape[1]) for i in range(size)]).sum(0)
    return x / torch.pow(total * (alpha / size) + bias, beta)


@operator("MeanVarianceNormalization")
def mean_variance_norm(node: Node, x: Tensor) -> Tensor:
    """Mean zero and variance one over some axes."""
    axes = tuple(node.get("axes", [0, 2, 3]))
    mean = x.mean(axes, keepdim=True)
    deviation = (x.square().mean(axes, keepdim=True) - mean.square()).sqrt()
    return (x - mean) / (deviation + 1e-9)


@operator("LpNormalization")
def norm(node: Node, x: Tensor) -> Tensor:
    """Divided by the p-norm along an axis; nothing by nothing is nothing."""
    length = torch.linalg.vector_norm(x, node.get("p", 2), node.get("axis", -1), True)
    return torch.where(length == 0, torch.zeros_like(x), x / length)
