"""Pooling: maximum, average and norm, over windows and over everything."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.operators.convolution import of_rank
from pruning_core.onnx_import.operators.padding import amounts_of, reversed_amounts
from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported, Value, numbers, product

MAXIMUM: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE: dict[int, Callable[..., Any]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ALL_AVERAGE: dict[int, Callable[..., Any]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
UNPOOL: dict[int, Callable[..., Any]] = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


def _window(node: Node, x: Tensor) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Return kernel, strides, dilations and the padding before and after."""
    kernel, n = list(node["kernel_shape"]), x.dim() - 2
    strides, dilations = list(node.get("strides", [1] * n)), list(node.get("dilations", [1] * n))
    return kernel, strides, dilations, *amounts_of(node, x.shape[2:], kernel, strides, dilations)


@operator("MaxPool")
def max_pool(node: Node, x: Tensor) -> Any:
    """The largest of each window; the positions count through the whole input."""
    kernel, strides, dilations, before, after = _window(node, x)
    function, ceil = of_rank(MAXIMUM, len(kernel)), bool(node.get("ceil_mode"))
    if not x.is_floating_point():
        return max_pool(node, x.float()).to(x.dtype)
    uneven = before != after or any(2 * pad > width for pad, width in zip(before, kernel, strict=True))
    if node.outputs == 2:
        return _with_positions(node, x)
    if not uneven:
        return function(x, kernel, strides, before, dilations, ceil)
    padded = F.pad(x, reversed_amounts(before, after), value=float("-inf"))
    result = function(padded, kernel, strides, 0, dilations, ceil)
    for i, stride in enumerate(strides):  # no window starts in the padding at the end
        result = result.narrow(2 + i, 0, min(result.shape[2 + i], -(-(x.shape[2 + i] + before[i]) // stride)))
    return result


def _with_positions(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    kernel, strides, dilations, before, after = _window(node, x)
    if before != after:
        raise Unsupported("positions with padding that differs at both ends are not supported")
    values, places = of_rank(MAXIMUM, len(kernel))(
        x, kernel, strides, before, dilations, bool(node.get("ceil_mode")), return_indices=True
    )
    size = product(x.shape[2:])
    if node.get("storage_order"):  # positions run along the first spatial dimension
        rest = places
        coordinates = []
        for extent in reversed(x.shape[2:]):
            coordinates.append(rest.remainder(extent))
            rest = rest.div(extent, rounding_mode="trunc")
        places = torch.zeros_like(places)
        for extent, coordinate in zip(reversed(x.shape[2:]), coordinates, strict=True):
            places = places * extent + coordinate
    planes = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], *[1] * (x.dim() - 2))
    return values, places + planes * size


@operator("AveragePool")
def average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each window, of padding too where `count_include_pad` says so."""
    kernel, strides, dilations, before, after = _window(node, x)
    counts_padding, ceil = bool(node.get("count_include_pad")), bool(node.get("ceil_mode"))
    even = before == after and all(2 * pad <= width for pad, width in zip(before, kernel, strict=True))
    if even and set(dilations) == {1}:
        result: Tensor = of_rank(AVERAGE, len(kernel))(x, kernel, strides, before, ceil, counts_padding)
        return result
    inside = torch.ones_like(x[:1, :1])
    if counts_padding:
        inside = F.pad(inside, reversed_amounts(before, after), value=1.0)
    else:
        inside = F.pad(inside, reversed_amounts(before, after))
    padded = F.pad(x, reversed_amounts(before, after))
    return _sums(padded, kernel, strides, dilations, ceil) / _sums(inside, kernel, strides, dilations, ceil)


def _sums(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], ceil: bool = False
) -> Tensor:
    """Return the sum of each window, one dimension after the other; a window may reach over the end."""
    for i, (width, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        reach, size = (width - 1) * dilation + 1, x.shape[2 + i]
        steps = -(-(size - reach) // stride) if ceil else (size - reach) // stride
        if ceil and steps * stride >= size:
            steps -= 1
        missing = steps * stride + reach - size
        x = F.pad(x, [0, 0] * (x.dim() - 3 - i) + [0, max(missing, 0)])
        starts = [j * dilation for j in range(width)]
        x = torch.stack([x.narrow(2 + i, s, steps * stride + 1) for s in starts]).sum(0)
        x = x[(slice(None),) * (2 + i) + (slice(None, None, stride),)]
    return x


@operator("GlobalAveragePool")
def global_average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each channel."""
    n = x.dim() - 2
    result: Tensor = ALL_AVERAGE[n](x, [1] * n) if n in ALL_AVERAGE else x.mean(tuple(range(2, x.dim())), True)
    return result


@operator("GlobalMaxPool")
def global_max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest of each channel."""
    return torch.amax(x, tuple(range(2, x.dim())), True)


@operator("LpPool")
def norm_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm of each window."""
    kernel, strides, dilations, before, after = _window(node, x)
    p = node.get("p", 2)
    padded = F.pad(x, reversed_amounts(before, after))
    sums = _sums(padded.abs().pow(p), kernel, strides, dilations, bool(node.get("ceil_mode")))
    return torch.pow(sums, 1 / p)


@operator("GlobalLpPool")
def global_norm_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm of each channel."""
    result: Tensor = torch.linalg.vector_norm(x, node.get("p", 2), tuple(range(2, x.dim())), True)
    return result


@operator("MaxUnpool", known=(2,))
def unpool(node: Node, x: Tensor, places: Tensor, shape: Value = None) -> Tensor:
    """Values back at their positions, zero elsewhere."""
    kernel, strides, _, before, _ = _window(node, x)
    natural = [(x.shape[2 + i] - 1) * strides[i] - 2 * before[i] + kernel[i] for i in range(len(kernel))]
    wanted = numbers(shape)[2:] if shape is not None else natural
    places = places.remainder(product(natural))  # ONNX counts through the whole input, torch through a channel
    result: Tensor = of_rank(UNPOOL, len(kernel))(x, places, kernel, strides, before, natural)
    return F.pad(result, reversed_amounts([0] * len(kernel), [w - s for w, s in zip(wanted, natural, strict=True)]))
