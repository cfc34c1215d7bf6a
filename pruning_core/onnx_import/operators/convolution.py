"""Convolutions of one to three dimensions, plain and transposed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.operators.padding import amounts_of, reversed_amounts
from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported, Value, numbers

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: torch.conv_transpose1d,
    2: torch.conv_transpose2d,
    3: torch.conv_transpose3d,
}


def of_rank(functions: dict[int, Callable[..., Any]], n: int) -> Callable[..., Any]:
    """Return the function for n spatial dimensions."""
    if n not in functions:
        raise Unsupported(f"{n} spatial dimensions are not supported; 1 to 3 are")
    return functions[n]


@operator("Conv", weights={1: "weight", 2: "bias"})
def convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Weight (out, in / groups, *kernel); the number of groups follows the shapes, also those of a slimmed weight."""
    n = x.dim() - 2
    kernel, strides, dilations = list(weight.shape[2:]), node.get("strides", [1] * n), node.get("dilations", [1] * n)
    before, after = amounts_of(node, x.shape[2:], kernel, strides, dilations)
    if before != after:
        x, before = F.pad(x, reversed_amounts(before, after)), [0] * n
    groups = int(x.shape[1] // weight.shape[1])
    result: Tensor = of_rank(CONVOLUTIONS, n)(x, weight, bias, strides, before, dilations, groups)
    return result


@operator("ConvTranspose", weights={1: "weight", 2: "bias"})
def transposed(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Weight (in, out / groups, *kernel). What the amounts of padding cut off may differ at both ends."""
    n = x.dim() - 2
    kernel, strides, dilations = list(weight.shape[2:]), node.get("strides", [1] * n), node.get("dilations", [1] * n)
    extra = list(node.get("output_padding", [0] * n))
    before, after = _cut(node, x.shape[2:], kernel, strides, dilations, extra)
    function, groups = of_rank(TRANSPOSED, n), node.get("group", 1)
    if before == after and min(before) >= 0:
        result: Tensor = function(x, weight, bias, strides, before, extra, groups, dilations)
        return result
    result = function(x, weight, bias, strides, [0] * n, [0] * n, groups, dilations)
    longer = [plus - end for plus, end in zip(extra, after, strict=True)]
    amounts = reversed_amounts([-start for start in before], longer)
    return F.pad(result, amounts) if bias is None else _with_bias(result, bias, amounts)


def _with_bias(result: Tensor, bias: Tensor, amounts: Sequence[int]) -> Tensor:
    """Cut and lengthen a result whose empty places hold the bias."""
    everywhere = bias.reshape([1, -1] + [1] * (result.dim() - 2))
    return F.pad(result - everywhere, list(amounts)) + everywhere


def _cut(
    node: Node,
    sizes: Sequence[Any],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    extra: Sequence[int],
) -> tuple[list[int], list[int]]:
    mode, n = node.get("auto_pad", "NOTSET") or "NOTSET", len(kernel)
    if "output_shape" not in node and mode in ("NOTSET", "VALID"):
        pads = list(node.get("pads", [0] * 2 * n)) if mode == "NOTSET" else [0] * 2 * n
        return pads[:n], pads[n:]
    wanted = node.get("output_shape", [size * stride for size, stride in zip(sizes, strides, strict=True)])[-n:]
    before, after = [], []
    for i in range(n):
        full = strides[i] * (sizes[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        total = full - wanted[i]
        half = int(total / 2)
        first = half if mode == "SAME_UPPER" else total - half
        before.append(first)
        after.append(total - first)
    return before, after


@operator("Col2Im", known=(1, 2))
def columns_to_image(node: Node, x: Tensor, image: Value, block: Value) -> Tensor:
    """Blocks that overlap are added."""
    n = len(numbers(block))
    if n != 2:
        raise Unsupported(f"{n} spatial dimensions are not supported; 2 are")
    pads = node.get("pads", [0] * 4)
    if pads[:2] != pads[2:]:
        raise Unsupported("padding that differs at both ends is not supported")
    return F.fold(
        x, tuple(numbers(image)), tuple(numbers(block)), node.get("dilations", 1), pads[:2], node.get("strides", 1)
    )
