"""Numbers in steps: quantise, dequantise, and products of whole numbers."""

from dataclasses import replace

import torch
from torch import Tensor

from pruning_core.onnx_import.operators.convolution import convolution
from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.types import dtype_of
from pruning_core.onnx_import.values import Unsupported

RANGES = {torch.int8: (-128, 127), torch.uint8: (0, 255), torch.int16: (-32768, 32767), torch.uint16: (0, 65535)}


def _along(values: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Return one value for each element: one for all, one for each index of an axis, or one for each block of it."""
    if values.numel() == 1:
        return values.reshape(())
    if block:
        return values.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return values.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])


@operator("QuantizeLinear")
def quantise(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Rounded to the nearest step, of two equally near ones to the even; cut at the ends of the type."""
    dtype = (
        zero.dtype if zero is not None else dtype_of(node["output_dtype"]) if node.get("output_dtype") else torch.uint8
    )
    if dtype not in RANGES:
        raise Unsupported(f"steps of type {dtype} are not supported")
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    steps = torch.round(x / _along(scale, x, axis, block))
    if zero is not None:
        steps = steps + _along(zero.to(steps.dtype), x, axis, block)
    return steps.clamp(*RANGES[dtype]).to(dtype)


@operator("DequantizeLinear")
def dequantise(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Real numbers of steps."""
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    wide = x.to(scale.dtype) if x.is_floating_point() else x.to(torch.int32)
    if zero is not None:
        wide = wide - _along(zero.to(wide.dtype), x, axis, block)
    return wide.to(scale.dtype) * _along(scale, x, axis, block)


@operator("MatMulInteger")
def whole_matmul(
    node: Node, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    """An exact product of whole numbers."""
    return (_moved(a, a_zero, -2) @ _moved(b, b_zero, -1)).to(torch.int32)


@operator("QLinearMatMul")
def quantised_matmul(
    node: Node,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    """A product of steps, in steps."""
    product = (_moved(a, a_zero, -2) @ _moved(b, b_zero, -1)).float()
    left = a_scale.float() if a_scale.numel() == 1 else a_scale.float().unsqueeze(-1)
    return quantise(node, product * (left * b_scale.float()), y_scale.float(), y_zero)


def _moved(x: Tensor, zero: Tensor | None, axis: int) -> Tensor:
    """Return x minus its zero point as int64; several zero points are those of rows (-2) or columns (-1)."""
    if zero is None:
        return x.to(torch.int64)
    several = zero.numel() > 1 and zero.dim() == 1
    return x.to(torch.int64) - (zero.unsqueeze(-1) if several and axis == -2 else zero).to(torch.int64)


@operator("ConvInteger")
def whole_convolution(
    node: Node, x: Tensor, weight: Tensor, x_zero: Tensor | None = None, weight_zero: Tensor | None = None
) -> Tensor:
    """An exact convolution of whole numbers."""
    result = convolution(node, _real(x, x_zero), _real(weight, weight_zero, 0))
    return result.round().to(torch.int32)


@operator("QLinearConv")
def quantised_convolution(
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    weight_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """A convolution of steps, in steps."""
    result = convolution(node, _real(x, x_zero), _real(weight, weight_zero, 0), None if bias is None else bias.double())
    channel = [1, -1] + [1] * (result.dim() - 2)
    real = result * (x_scale.double() * weight_scale.double().reshape(channel if weight_scale.numel() > 1 else []))
    return quantise(replace(node, attributes={}), real.float(), y_scale, y_zero)


def _real(x: Tensor, zero: Tensor | None, axis: int | None = None) -> Tensor:
    """Return x minus its zero point as float64, which holds such whole numbers exactly."""
    if zero is None:
        return x.double()
    shape = [-1 if i == axis else 1 for i in range(x.dim())] if axis is not None and zero.numel() > 1 else []
    return x.double() - zero.double().reshape(shape)
