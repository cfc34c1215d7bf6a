"""Resizing: torch's own kernels where they mean the same, else a product with weights made of coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported, Value, numbers

LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
REACH = {"linear": 1, "cubic": 2}  # of the kernel, to either side


@dataclass(frozen=True)
class Axis:
    """How one axis is resized."""

    axis: int
    size: int  # before
    result: int  # after
    scale: float
    start: float = 0.0  # region of interest, in shares of the axis
    end: float = 1.0


@operator("Resize", "Upsample", known=(1, 2, 3))
def resize(node: Node, x: Tensor, *given: Value) -> Tensor:
    """Scales or sizes; inputs since opset 9, attributes before."""
    axes = _axes(node, x, given)
    changed = [axis for axis in axes if axis.result != axis.size or axis.scale != 1 or _is_crop(node)]
    if not changed:
        return x
    native = _native(node, x, changed)
    if native is not None:
        return native
    for axis in changed:
        x = _nearest(node, x, axis) if node.get("mode", "nearest") == "nearest" else _weighted(node, x, axis)
    return x


def _is_crop(node: Node) -> bool:
    return bool(node.get("coordinate_transformation_mode") == "tf_crop_and_resize")


def _axes(node: Node, x: Tensor, given: Sequence[Value]) -> list[Axis]:
    roi, scales, sizes = (*given, None, None, None)[:3]
    if node.operator == "Upsample" or node.opset < 11:
        roi, scales, sizes = None, given[0] if given else None, None
    along = [int(axis) % x.dim() for axis in node.get("axes", range(x.dim()))]
    wanted = numbers(sizes) if sizes is not None else []
    factors = numbers(scales) if scales is not None else list(node.get("scales", []))
    regions = numbers(roi) if roi is not None and _is_crop(node) else [0.0] * len(along) + [1.0] * len(along)
    if wanted:
        wanted, factors = _sizes(node, [x.shape[axis] for axis in along], wanted)
    found = []
    for i, axis in enumerate(along):
        size, scale = x.shape[axis], float(factors[i]) if not isinstance(factors[i], torch.SymFloat) else 1.0
        result = wanted[i] if wanted else size if scale == 1 else math.floor(size * scale + 1e-9)
        if not isinstance(size, int) or not isinstance(result, int):
            if scale != 1:
                raise Unsupported("it resizes the batch")
            continue
        found.append(Axis(axis, size, result, scale, regions[i], regions[i + len(along)]))
    return found


def _sizes(node: Node, sizes: Sequence[Any], wanted: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Return the sizes after and the scales; a policy may keep the aspect ratio."""
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        ratios = zip(wanted, sizes, strict=True)
        scales = [a / b if isinstance(a, int) and isinstance(b, int) else 1.0 for a, b in ratios]
        return list(wanted), scales
    scale = (min if policy == "not_larger" else max)(a / b for a, b in zip(wanted, sizes, strict=True))
    return [math.floor(size * scale + 0.5) for size in sizes], [scale] * len(sizes)


def _native(node: Node, x: Tensor, axes: Sequence[Axis]) -> Tensor | None:
    """Return what torch's kernels make of it, or None where they mean something else."""
    mode, coordinates = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    if node.operator == "Upsample" or node.opset < 11:
        coordinates = "asymmetric"
    rank = x.dim()
    if rank not in LINEAR or min(axis.axis for axis in axes) < 2 or not x.is_floating_point():
        return None
    sizes: list[Any] = list(x.shape[2:])
    for axis in axes:
        sizes[axis.axis - 2] = axis.result
    exact = all(abs(axis.size * axis.scale - axis.result) < 1e-6 for axis in axes)
    if mode == "nearest":
        same = exact and all(_places(node, axis, math) == _floors(axis) for axis in axes)
        return F.interpolate(x, sizes, mode="nearest") if same else None
    if node.get("exclude_outside") or not exact or (mode == "cubic" and rank != 4):
        return None
    if mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        return None
    name = "bicubic" if mode == "cubic" else LINEAR[rank]
    if node.get("antialias") or min(sizes) < 2:
        return None
    if coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return F.interpolate(x, sizes, mode=name, align_corners=coordinates == "align_corners")
    return None


def _floors(axis: Axis) -> list[int]:
    return [i * axis.size // axis.result for i in range(axis.result)]


def _coordinate(node: Node, axis: Axis, i: Any) -> Any:
    """Return where an output position lies in the input; for one position or a tensor of them."""
    mode = node.get("coordinate_transformation_mode", "half_pixel")
    if node.operator == "Upsample" or node.opset < 11:
        mode = "asymmetric"
    size, scale, result = axis.size, axis.scale, axis.size * axis.scale
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * 0.0 if result == 1 else i * ((size - 1) / (result - 1))
    if mode == "tf_crop_and_resize":
        if axis.result == 1:
            return i * 0.0 + 0.5 * (axis.start + axis.end) * (size - 1)
        return axis.start * (size - 1) + i * ((axis.end - axis.start) * (size - 1) / (axis.result - 1))
    if mode == "pytorch_half_pixel" and axis.result == 1:
        return i * 0.0 - 0.5
    if mode == "half_pixel_symmetric":
        shift = size / 2 * (1 - axis.result / result)
        return shift + (i + 0.5) / scale - 0.5
    if mode == "tf_half_pixel_for_nn":
        return (i + 0.5) / scale
    return (i + 0.5) / scale - 0.5


def _places(node: Node, axis: Axis, functions: Any) -> list[int]:
    """Return the input position nearest to each output position."""
    rounding = node.get("nearest_mode", "round_prefer_floor" if node.opset >= 11 else "floor")
    rule = {
        "round_prefer_floor": lambda c: math.ceil(c - 0.5),
        "round_prefer_ceil": lambda c: math.floor(c + 0.5),
        "floor": math.floor,
        "ceil": math.ceil,
    }[rounding if node.operator == "Resize" and node.opset >= 11 else "floor"]
    found = (rule(_coordinate(node, axis, float(i))) for i in range(axis.result))
    return [min(max(place, 0), axis.size - 1) for place in found]


def _nearest(node: Node, x: Tensor, axis: Axis) -> Tensor:
    places = _places(node, axis, math)
    pieces = [x.narrow(axis.axis, place, 1) for place in places]
    result = torch.cat(pieces, axis.axis)
    return _outside(node, result, axis)


def _outside(node: Node, result: Tensor, axis: Axis) -> Tensor:
    """Put the extrapolation value where a crop reaches over the input."""
    if not _is_crop(node):
        return result
    where = _coordinate(node, axis, torch.arange(axis.result, dtype=torch.float32))
    over = ((where < 0) | (where > axis.size - 1)).reshape([-1 if i == axis.axis else 1 for i in range(result.dim())])
    return torch.where(over, torch.full((), node.get("extrapolation_value", 0.0), dtype=result.dtype), result)


def _weighted(node: Node, x: Tensor, axis: Axis) -> Tensor:
    """Multiply by a kernel of the distances; beyond the edge stand copies of it, unless they are excluded."""
    mode, smooth = node.get("mode"), bool(node.get("antialias")) and axis.scale < 1
    width = 1 / axis.scale if smooth else 1.0
    margin = math.ceil(REACH[mode] * width) + 1
    places = torch.arange(-margin, axis.size + margin)
    where = _coordinate(node, axis, torch.arange(axis.result, dtype=torch.float64)).reshape(-1, 1)
    weights = _kernel(node, mode, (where - places).abs() / width)
    if node.get("exclude_outside"):
        weights = torch.where((places >= 0) & (places < axis.size), weights, torch.zeros_like(weights))
    weights = (weights / weights.sum(1, keepdim=True)).to(x.dtype)
    extended = x.index_select(axis.axis, places.clamp(0, axis.size - 1)).movedim(axis.axis, -1)
    return _outside(node, torch.matmul(extended, weights.t()).movedim(-1, axis.axis), axis)


def _kernel(node: Node, mode: str, distance: Tensor) -> Tensor:
    """The triangle, or Keys's cubic kernel (1981)."""
    if mode == "linear":
        return (1 - distance).clamp(min=0)
    a = node.get("cubic_coeff_a", -0.75)
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
