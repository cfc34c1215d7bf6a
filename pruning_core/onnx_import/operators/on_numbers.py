"""The operators that exporters compute sizes with, on numbers that are known while tracing."""

import math
import operator as python
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pruning_core.onnx_import.operators.shapes import broadcast
from pruning_core.onnx_import.table import Node, on_numbers
from pruning_core.onnx_import.types import dtype_of
from pruning_core.onnx_import.values import MOST_NUMBERS, Known, each, known, number, numbers, product

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": python.add,
    "Sub": python.sub,
    "Mul": python.mul,
    "Max": lambda *values: max(values),
    "Min": lambda *values: min(values),
    "Neg": python.neg,
    "Abs": abs,
    "Pow": python.pow,
}
COMPARISONS: dict[str, Callable[..., Any]] = {
    "Equal": python.eq,
    "Greater": python.gt,
    "Less": python.lt,
    "GreaterOrEqual": python.ge,
    "LessOrEqual": python.le,
    "And": lambda a, b: bool(a and b),
    "Or": lambda a, b: bool(a or b),
    "Xor": lambda a, b: bool(a) != bool(b),
    "Not": lambda a: not a,
}
REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "ReduceProd": product,
    "ReduceSum": sum,
    "ReduceMax": max,
    "ReduceMin": min,
}
ROUNDING: dict[str, Callable[[Any], Any]] = {
    "Floor": lambda x: float(math.floor(x)),
    "Ceil": lambda x: float(math.ceil(x)),
    "Round": lambda x: float(round(x)),
    "Sqrt": math.sqrt,
}


@on_numbers(*ARITHMETIC)
def arithmetic(node: Node, *values: Known) -> Known:
    """Element by element."""
    return Known(each(ARITHMETIC[node.operator], *(value.array for value in values)), values[0].dtype)


@on_numbers("Div")
def division(node: Node, a: Known, b: Known) -> Known:
    """Whole numbers are cut towards zero."""
    if a.dtype.is_floating_point:
        return Known(each(python.truediv, a.array, b.array), a.dtype)
    return Known(each(_cut_division, a.array, b.array), a.dtype)


def _cut_division(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and (a < 0) != (b < 0):
        return -(-a // b)
    return a // b


@on_numbers("Mod")
def remainder(node: Node, a: Known, b: Known) -> Known:
    """The sign is the divisor's, or with `fmod` the dividend's."""
    return Known(each(math.fmod if node.get("fmod") else python.mod, a.array, b.array), a.dtype)


@on_numbers(*COMPARISONS)
def comparison(node: Node, *values: Known) -> Known:
    """True or false."""
    return Known(each(COMPARISONS[node.operator], *(value.array for value in values)), torch.bool)


@on_numbers(*ROUNDING)
def rounding(node: Node, x: Known) -> Known:
    """To whole numbers that stay floating point."""
    return Known(each(ROUNDING[node.operator], x.array), x.dtype)


@on_numbers("Where")
def choice(node: Node, condition: Known, a: Known, b: Known) -> Known:
    """The first where the condition holds, else the second."""
    return Known(each(lambda c, x, y: x if c else y, condition.array, a.array, b.array), a.dtype)


@on_numbers("Cast")
def cast(node: Node, x: Known) -> Known:
    """Whole, floating point, or true and false."""
    dtype = dtype_of(node["to"])
    if dtype == torch.bool:
        return Known(each(bool, x.array), dtype)
    if dtype.is_floating_point:
        return Known(each(torch.sym_float, x.array), dtype)
    return Known(each(torch.sym_int, x.array), dtype)


@on_numbers("Identity")
def same(node: Node, x: Known) -> Known:
    """As it is."""
    return x


@on_numbers(*REDUCTIONS)
def reduction(node: Node, x: Known, axes: Known | None = None) -> Any:
    """Over all of a list."""
    along = numbers(axes) if axes is not None else node.get("axes")
    if (x.array.ndim > 1 and along is not None) or not x.array.size:
        return NotImplemented
    if x.array.ndim == 0 or (not along and node.get("noop_with_empty_axes")):
        return x
    result = np.array(REDUCTIONS[node.operator](list(x.array.flat)), dtype=object)
    return Known(result.reshape((1,) * x.array.ndim) if node.get("keepdims", 1) else result, x.dtype)


@on_numbers("Concat")
def concat(node: Node, *values: Known) -> Known:
    """Beside each other."""
    return Known(np.concatenate([value.array for value in values], node["axis"]), values[0].dtype)


@on_numbers("Gather")
def gather(node: Node, x: Known, places: Known) -> Known:
    """Elements by their places."""
    chosen = np.take(x.array, places.array.astype(np.int64), node.get("axis", 0))
    return Known(np.array(chosen, dtype=object), x.dtype)


@on_numbers("Slice")
def cut(
    node: Node, x: Known, starts: Any = None, ends: Any = None, axes: Known | None = None, steps: Known | None = None
) -> Known:
    """Runs of indices."""
    first = numbers(starts) if starts is not None else node["starts"]
    last = numbers(ends) if ends is not None else node["ends"]
    along = numbers(axes) if axes is not None else node.get("axes", list(range(len(first))))
    step = numbers(steps) if steps is not None else [1] * len(first)
    array = x.array
    for start, end, axis, stride in zip(first, last, along, step, strict=True):
        end = None if stride < 0 and end < -array.shape[axis] else end
        array = array[(slice(None),) * (axis % array.ndim) + (slice(start, end, stride),)]
    return Known(array, x.dtype)


@on_numbers("Split")
def split(node: Node, x: Known, sizes: Known | None = None) -> tuple[Known, ...]:
    """Pieces of given sizes, or equal ones."""
    given = numbers(sizes) if sizes is not None else node.get("split")
    axis = node.get("axis", 0)
    size = -(-x.array.shape[axis] // node.outputs)
    ends = np.cumsum(given[:-1]) if given else [size * i for i in range(1, node.outputs)]
    return tuple(Known(piece, x.dtype) for piece in np.split(x.array, ends, axis))


@on_numbers("Squeeze", "Unsqueeze")
def dimension(node: Node, x: Known, axes: Known | None = None) -> Known:
    """Dimensions of size 1 go or come."""
    named = numbers(axes) if axes is not None else node.get("axes")
    if node.operator == "Squeeze":
        return Known(np.squeeze(x.array, None if named is None else tuple(named)), x.dtype)
    return Known(np.expand_dims(x.array, tuple(named or ())), x.dtype)


@on_numbers("Reshape")
def reshape(node: Node, x: Known, shape: Known) -> Known:
    """The same numbers in other rows."""
    wanted = [x.array.shape[i] if size == 0 else size for i, size in enumerate(numbers(shape))]
    return Known(x.array.reshape(wanted), x.dtype)


@on_numbers("Transpose")
def transpose(node: Node, x: Known) -> Known:
    """Axes in another order."""
    return Known(np.transpose(x.array, node.get("perm")), x.dtype)


@on_numbers("Expand", "ConstantOfShape", "Range", "Tile")
def created(node: Node, *values: Known) -> Any:
    """Lists of few numbers; anything larger becomes a tensor."""
    if any(value.is_symbolic for value in values[1:] or values):
        return NotImplemented
    first = values[0]
    if node.operator == "Range":
        start, end, step = (value.array.item() for value in values)
        count = max(0, math.ceil((end - start) / step))
        array = np.array([start + i * step for i in range(min(count, MOST_NUMBERS + 1))], dtype=object)
        return Known(array, first.dtype) if count <= MOST_NUMBERS else NotImplemented
    wanted = [int(size) for size in numbers(values[-1])]
    if node.operator == "Tile":
        wanted = [size * times for size, times in zip(first.array.shape, wanted, strict=True)]
        return Known(np.tile(first.array, numbers(values[1])), first.dtype) if _few(wanted) else NotImplemented
    if not _few(wanted):
        return NotImplemented
    if node.operator == "Expand":
        return Known(np.broadcast_to(first.array, broadcast(first.array.shape, wanted)), first.dtype)
    value = node.get("value", known([0.0], torch.float32))
    return Known(np.full(wanted, number(value), dtype=object), value.dtype)


def _few(sizes: list[int]) -> bool:
    return int(product(sizes)) <= MOST_NUMBERS


@on_numbers("Size")
def size(node: Node, x: Known) -> Known:
    """The number of elements."""
    return Known(np.array(x.array.size, dtype=object), torch.int64)


@on_numbers("Shape")
def shape(node: Node, x: Known) -> Known:
    """The sizes of a list."""
    return Known(np.array(x.array.shape[node.get("start", 0) : node.get("end")], dtype=object), torch.int64)
