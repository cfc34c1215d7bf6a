"""Reductions over axes, running sums, and the largest few."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Value, number, numbers

Reduce = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keep)
    return x


REDUCTIONS: dict[str, Reduce] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep) if x.is_floating_point() else _whole_mean(x, axes, keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceMax": lambda x, axes, keep: torch.amax(x, axes, keep),
    "ReduceMin": lambda x, axes, keep: torch.amin(x, axes, keep),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: _float(x, lambda y: torch.linalg.vector_norm(y, 2, axes, keep)),
    "ReduceLogSum": lambda x, axes, keep: _float(x, lambda y: y.sum(axes, keep).log()),
    "ReduceLogSumExp": lambda x, axes, keep: _float(x, lambda y: torch.logsumexp(y, axes, keep)),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}


def _whole_mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    count = x.numel() // max(x.sum(axes).numel(), 1)
    return torch.div(x.sum(axes, keep), count, rounding_mode="trunc")


def _float(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return function(x) if x.is_floating_point() else function(x.double())


@operator(*REDUCTIONS, known=(1,))
def reduction(node: Node, x: Tensor, axes: Value = None) -> Tensor:
    """Over the axes of an attribute (before opset 13 or 18) or of an input; over all where there are none."""
    along = numbers(axes, "its axes") if axes is not None else node.get("axes")
    if not along and node.get("noop_with_empty_axes"):
        one = x.unsqueeze(-1)  # the reduction of each element by itself
        return REDUCTIONS[node.operator](one, (-1,), False).to(x.dtype)
    dims = tuple(int(axis) for axis in along) if along else tuple(range(x.dim()))
    if not dims:
        return REDUCTIONS[node.operator](x.unsqueeze(0), (0,), False).to(x.dtype)
    return REDUCTIONS[node.operator](x, dims, bool(node.get("keepdims", 1))).to(x.dtype)


@operator("ArgMax", "ArgMin")
def position(node: Node, x: Tensor) -> Tensor:
    """Of the largest or smallest along an axis: the first, or the last of equals."""
    axis, keep = node.get("axis", 0) % x.dim(), bool(node.get("keepdims", 1))
    function = torch.argmax if node.operator == "ArgMax" else torch.argmin
    if node.get("select_last_index"):
        last: Tensor = x.shape[axis] - 1 - function(x.flip(axis), axis, keep)
        return last
    return function(x, axis, keep)


@operator("CumSum", "CumProd", known=(1,))
def cumulative(node: Node, x: Tensor, axis: Value) -> Tensor:
    """From the first or the last on, with or without the element itself."""
    dim, neutral = int(number(axis, "its axis")) % x.dim(), 0 if node.operator == "CumSum" else 1
    x = x.flip(dim) if node.get("reverse") else x
    if node.get("exclusive"):
        start = torch.full_like(x.narrow(dim, 0, 1), neutral)
        x = torch.cat([start, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
    result = (torch.cumsum if node.operator == "CumSum" else torch.cumprod)(x, dim).to(x.dtype)
    return result.flip(dim) if node.get("reverse") else result


@operator("TopK", known=(1,))
def largest(node: Node, x: Tensor, count: Value = None) -> Any:
    """The k largest or smallest along an axis, and where they are; of equals the first."""
    k = int(number(count, "its count")) if count is not None else node["k"]
    axis, descending = node.get("axis", -1), bool(node.get("largest", 1))
    values, places = torch.sort(x, dim=axis, descending=descending, stable=True)
    return values.narrow(axis, 0, k), places.narrow(axis, 0, k)
