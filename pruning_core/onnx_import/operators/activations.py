"""Nonlinearities."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import MICROSOFT, Node, operator
from pruning_core.onnx_import.values import Known, Unsupported, Value, number, product, tensor


@operator("Relu", "Sigmoid", "Tanh", "Softsign", "Softplus", "Mish", "HardSwish")
def plain(node: Node, x: Tensor) -> Tensor:
    """Functions without settings."""
    functions: dict[str, Any] = {
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "Softsign": F.softsign,
        "Softplus": F.softplus,
        "Mish": F.mish,
        "HardSwish": F.hardswish,
    }
    result: Tensor = functions[node.operator](x)
    return result


@operator("LeakyRelu")
def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """A slope below zero."""
    return F.leaky_relu(x, node.get("alpha", 0.01))


@operator("Elu")
def elu(node: Node, x: Tensor) -> Tensor:
    """Clevert et al. 2016, arXiv:1511.07289."""
    return F.elu(x, node.get("alpha", 1.0))


@operator("Celu")
def celu(node: Node, x: Tensor) -> Tensor:
    """Barron 2017, arXiv:1704.07483."""
    return F.celu(x, node.get("alpha", 1.0))


@operator("Selu")
def selu(node: Node, x: Tensor) -> Tensor:
    """Klambauer et al. 2017, arXiv:1706.02515; `alpha` and `gamma` may be one's own."""
    if "alpha" not in node and "gamma" not in node:
        return F.selu(x)
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return torch.mul(torch.where(x > 0, x, (torch.exp(x) - 1) * alpha), gamma)


@operator("Gelu", f"{MICROSOFT}.Gelu")
def gelu(node: Node, x: Tensor) -> Tensor:
    """Hendrycks and Gimpel 2016, arXiv:1606.08415."""
    return F.gelu(x, approximate=node.get("approximate", "none"))


@operator("Swish")
def swish(node: Node, x: Tensor) -> Tensor:
    """x times the sigmoid of alpha x."""
    alpha = node.get("alpha", 1.0)
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@operator("HardSigmoid")
def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """A line cut at 0 and 1; torch's own where the slope is 1/6."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(x * alpha + beta, 0, 1)


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """Zero up to a threshold."""
    return F.threshold(x, node.get("alpha", 1.0), 0.0)


@operator("Shrink")
def shrink(node: Node, x: Tensor) -> Tensor:
    """Zero around zero, the rest moved towards it."""
    bias, lambd = node.get("bias", 0.0), node.get("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)).to(x.dtype)


@operator("PRelu", weights={1: "weight"})
def prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """A slope below zero for each channel. He et al. 2015, arXiv:1502.01852."""
    channels = x.shape[1] if x.dim() > 1 else 1
    shaped = slope.dim() == x.dim() - 1 or node.opset < 7
    per_channel = slope.numel() == 1 or (slope.numel() == channels and shaped)
    if per_channel and x.is_floating_point() and x.dim() > 1:
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x >= 0, x, x * slope)


@operator("Clip", known=(1, 2))
def clip(node: Node, x: Tensor, low: Value = None, high: Value = None) -> Tensor:
    """Limits are attributes before opset 11, inputs since."""
    limits = [
        node.get(name) if value is None else number(value) if isinstance(value, Known) else value
        for name, value in (("min", low), ("max", high))
    ]
    if limits == [0, 6] and x.is_floating_point():
        return F.hardtanh(x, 0.0, 6.0)
    if limits == [None, None]:
        return x
    if any(isinstance(limit, Tensor) for limit in limits):
        limits = [None if limit is None else torch.as_tensor(limit, dtype=x.dtype) for limit in limits]
    if not isinstance(limits[0], Tensor | None) and not isinstance(limits[1], Tensor | None) and limits[0] > limits[1]:
        return torch.full_like(x, limits[1])
    return torch.clamp(x, limits[0], limits[1])


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, x: Tensor) -> Tensor:
    """Over one axis; before opset 13 over all axes from that one on."""
    axis = node.get("axis", -1 if node.opset >= 13 else 1) % max(x.dim(), 1)
    functions: dict[str, Any] = {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax, "Hardmax": _hardmax}
    result: Tensor
    if node.opset >= 13 or axis == x.dim() - 1:
        result = functions[node.operator](x, axis)
        return result
    flat = x.reshape(*x.shape[:axis], product(x.shape[axis:]))
    result = functions[node.operator](flat, axis)
    return result.reshape(x.shape)


def _hardmax(x: Tensor, axis: int) -> Tensor:
    first = torch.argmax(x, axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1)


@operator("Dropout")
def dropout(node: Node, x: Tensor, *others: Value) -> Any:
    """Nothing is dropped in evaluation."""
    if len(others) > 1 and others[1] is not None and bool(tensor(others[1])):
        raise Unsupported("it is exported in training mode; export the model in evaluation mode")
    return x if node.outputs == 1 else (x, torch.ones_like(x, dtype=torch.bool))
