"""Padding: its amounts, and the operator itself."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported, Value, number, numbers


def amounts_of(
    node: Node, sizes: Sequence[Any], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return how much is added before and after each spatial dimension of a convolution or pooling."""
    n, mode = len(kernel), node.get("auto_pad", "NOTSET") or "NOTSET"
    if mode == "NOTSET":
        pads = list(node.get("pads", [0] * 2 * n))
        return pads[:n], pads[n:]
    if mode == "VALID":
        return [0] * n, [0] * n
    before, after = [], []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        less = total // 2
        before.append(less if mode == "SAME_UPPER" else total - less)
        after.append(total - before[-1])
    return before, after


def reversed_amounts(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """Return amounts as torch's pad takes them: the last dimension first."""
    pairs = zip(reversed(before), reversed(after), strict=True)
    return [amount for pair in pairs for amount in pair]


@operator("Pad", known=(1, 2, 3))
def pad(node: Node, x: Tensor, pads: Value = None, constant: Value = None, axes: Value = None) -> Tensor:
    """Amounts are attributes before opset 11, inputs since; negative ones cut off."""
    amounts = numbers(pads) if pads is not None else node.get("pads", node.get("paddings"))
    chosen = numbers(axes) if axes is not None else list(range(x.dim()))
    before, after = [0] * x.dim(), [0] * x.dim()
    for position, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[position], amounts[position + len(chosen)]
    mode = node.get("mode", "constant")
    if mode != "constant":
        return _by_index(x, before, after, mode)
    value = number(constant) if constant is not None else node.get("value", 0)
    flat = reversed_amounts(before, after)
    while len(flat) > 2 and flat[-1] == 0 and flat[-2] == 0:
        del flat[-2:]
    if x.dtype == torch.bool:
        return F.pad(x.to(torch.uint8), flat, value=int(value)).to(torch.bool)
    return F.pad(x, flat, value=value) if any(flat) else x


def _by_index(x: Tensor, before: Sequence[int], after: Sequence[int], mode: str) -> Tensor:
    """Repeat the edge, mirror or go round, one dimension after the other."""
    touched = [axis for axis in range(x.dim()) if before[axis] or after[axis]]
    positive = min([0, *before, *after]) == 0
    if mode in ("reflect", "edge") and x.dim() in (3, 4, 5) and min(touched, default=2) >= 2 and positive:
        flat = reversed_amounts(before[2:], after[2:])
        return F.pad(x, flat, mode="replicate" if mode == "edge" else mode)
    for axis in touched:
        size = x.shape[axis]
        places = torch.arange(-before[axis], size + after[axis])
        if mode == "edge":
            places = places.clamp(0, size - 1)
        elif mode == "wrap":
            places = places.remainder(size)
        elif mode == "reflect":
            places = (places.remainder(2 * max(size - 1, 1)) - (size - 1)).abs().neg() + (size - 1)
        else:
            raise Unsupported(f"padding mode '{mode}' is not supported")
        x = x.index_select(axis, places)
    return x
