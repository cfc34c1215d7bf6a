"""What flows between operators: tensors, and small arrays of numbers known while tracing (sizes, axes, bounds).

A size may be symbolic, so that the batch stays open: arithmetic on sizes is numpy's on an array of objects.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_NUMBERS = 4096  # of an array that is kept as numbers


class Unsupported(Exception):
    """What an operator cannot do here, in a part of a sentence; the builder says which node it is."""


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers that depend on no value of the input; an element is an int, a float, a bool or a symbolic size."""

    array: NDArray[np.object_]
    dtype: torch.dtype

    @property
    def is_symbolic(self) -> bool:
        """Whether some element depends on the batch."""
        return any(isinstance(number, torch.SymInt | torch.SymFloat | torch.SymBool) for number in self.array.flat)


Value = Any  # Tensor, Known, None for an input left out, or a list of these (a sequence)


def known(numbers: Any, dtype: torch.dtype = torch.int64) -> Known:
    """Return numbers in nested lists as one value."""
    return Known(np.array(numbers, dtype=object), dtype)


def known_of(tensor: Tensor) -> Known:
    """Return the numbers of a constant."""
    array = np.empty(tuple(tensor.shape), dtype=object)
    array[...] = np.array(tensor.tolist(), dtype=object).reshape(array.shape)
    return Known(array, tensor.dtype)


def numbers(value: Value, what: str = "a size") -> list[Any]:
    """Return the numbers of a value; one that is computed from the input's values is refused."""
    if isinstance(value, Known):
        return list(value.array.flat)
    raise Unsupported(f"{what} is computed from the values of the input")


def number(value: Value, what: str = "a size") -> Any:
    """Return the one number of a value."""
    (only,) = numbers(value, what)
    return only


def tensor(value: Value) -> Tensor:
    """Return a value as a tensor; no constant is stored with the trace, sizes stay symbolic."""
    if isinstance(value, Tensor):
        return value
    elements = [torch.full((), element, dtype=value.dtype) for element in value.array.flat]
    if not elements:
        return torch.zeros(value.array.shape, dtype=value.dtype)
    return torch.stack(elements).reshape(value.array.shape) if value.array.ndim else elements[0]


def operand(value: Value, other: Value) -> Any:
    """Return a value as torch's arithmetic takes it beside `other`: one number as it is, else a tensor."""
    single = isinstance(value, Known) and value.array.size == 1
    if single and isinstance(other, Tensor) and value.array.ndim <= other.dim():
        return number(value)
    return tensor(value)


def each(function: Callable[..., Any], *arrays: Any) -> NDArray[np.object_]:
    """Return `function` of corresponding elements, shapes broadcast."""
    if np.prod(np.broadcast_shapes(*(np.shape(array) for array in arrays))) > MOST_NUMBERS:
        raise Unsupported(f"it computes with more than {MOST_NUMBERS:,} sizes")
    spread = np.broadcast_arrays(*(np.asarray(array, dtype=object) for array in arrays), subok=False)
    result = np.empty(spread[0].shape, dtype=object)
    for place in np.ndindex(*result.shape):
        result[place] = function(*(array[place] for array in spread))
    return result


def first_line(error: Exception) -> str:
    """Return what an error says, as a part of a sentence."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200].rstrip(".")


def is_one(size: Any) -> bool:
    """Whether a size is 1 whatever the batch."""
    return isinstance(size, int) and size == 1


def product(sizes: Any) -> Any:
    """Return the product of sizes."""
    result: Any = 1
    for size in sizes:
        result = operator.mul(result, size)
    return result
