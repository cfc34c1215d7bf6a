"""Channel identities: a vectorised union-find whose labels live inside ordinary integer tensors.

Label 0 means "no channel": inputs of the model, new constants, results that mix all channels. Every other label is
one thing that can be removed: a filter, a column, an element of a vector. A dimension along which labels do not
change is stored once (stride 0): an activation of shape (2, 512, 112, 112) is 512 numbers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IntArray = NDArray[np.int64]
NO_CHANNEL = 0


class Labels:
    """Which labels are one group, and which groups must stay."""

    def __init__(self) -> None:
        self.parent: IntArray = np.zeros(1, dtype=np.int64)  # parent[i] <= i, so there are no cycles
        self._frozen: list[tuple[IntArray, str]] = []

    def fresh(self, *shape: int) -> Tensor:
        """Return a tensor of this shape of new, unrelated labels."""
        start, count = len(self.parent), int(np.prod(shape))
        new = np.arange(start, start + count, dtype=np.int64)
        self.parent = np.concatenate([self.parent, new])
        return torch.from_numpy(new.copy()).reshape(shape)

    def find(self, index: IntArray) -> IntArray:
        """Return the root of every label."""
        while True:
            above = self.parent[index]
            if np.array_equal(above, index):
                return above
            index = above

    def roots(self, labels: Tensor) -> Tensor:
        """Return the roots as a tensor of the same shape, looked up once per stored element."""
        small = stored(labels)
        found = np.ascontiguousarray(self.find(small.numpy()))
        return torch.from_numpy(found).reshape(small.shape).expand(labels.shape)

    def unite(self, a: Tensor, b: Tensor, reason: str) -> None:
        """Join `a` and `b` element by element; a channel that meets NO_CHANNEL is frozen for `reason`."""
        a, b = without_repeats(*_broadcast(a, b))
        first, second = (self.roots(labels).reshape(-1).numpy() for labels in (a, b))
        lone = (first == NO_CHANNEL) ^ (second == NO_CHANNEL)
        if lone.any():
            self._frozen.append((self.distinct(np.maximum(first, second)[lone]), reason))
        both = (first != NO_CHANNEL) & (second != NO_CHANNEL)
        first, second = first[both], second[both]
        while True:
            low, high = np.minimum(first, second), np.maximum(first, second)
            differ = low != high
            if not differ.any():
                return
            self.parent[high[differ]] = low[differ]  # a lost race is repaired by the next round
            first, second = self.find(first), self.find(second)

    def freeze(self, labels: Tensor, reason: str) -> None:
        """Say that these channels must stay, and why."""
        unique = self.distinct(stored(self.roots(labels)).numpy())
        if unique.size:
            self._frozen.append((unique, reason))

    def distinct(self, labels: IntArray) -> IntArray:
        """Return the labels that occur, in order and without NO_CHANNEL; faster than sorting."""
        occurs = np.zeros(len(self.parent), dtype=np.bool_)
        occurs[labels] = True
        occurs[NO_CHANNEL] = False
        return np.flatnonzero(occurs)

    def reasons(self) -> dict[int, str]:
        """Return the first reason of every frozen root, after all unions so far."""
        first: dict[int, str] = {}
        for labels, reason in self._frozen:
            for root in self.distinct(self.find(labels)).tolist():
                first.setdefault(root, reason)
        return first


def _broadcast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shape = list(np.broadcast_shapes(a.shape, b.shape))
    return a.expand(shape), b.expand(shape)


def stored(labels: Tensor) -> Tensor:
    """Return the same labels with every repeated (stride 0) dimension cut to size 1."""
    for dim in range(labels.dim()):
        if labels.shape[dim] > 1 and labels.stride(dim) == 0:
            labels = labels.narrow(dim, 0, 1)
    return labels


def without_repeats(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the dimensions along which both tensors of one shape repeat."""
    for dim in range(a.dim()):
        if a.shape[dim] > 1 and a.stride(dim) == 0 and b.stride(dim) == 0:
            a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
    return a, b


def varying_dims(roots: Tensor) -> list[int]:
    """Return the dimensions along which the labels are not constant."""
    small = stored(roots)
    return [
        dim
        for dim in range(small.dim())
        if small.shape[dim] > 1 and not torch.equal(small, small.narrow(dim, 0, 1).expand_as(small))
    ]


def first_of(labels: Tensor, dims: Sequence[int]) -> Tensor:
    """Cut `dims` to their first index; they keep size 1."""
    for dim in dims:
        labels = labels.narrow(dim, 0, 1)
    return labels


def compact(roots: Tensor) -> Tensor:
    """Turn constant dimensions into repeated ones, so that later work stays small."""
    small = stored(roots)
    keep = set(varying_dims(small))
    constant_dims = [dim for dim in range(small.dim()) if dim not in keep and small.shape[dim] > 1]
    return first_of(small, constant_dims).expand(roots.shape)


def no_channels(shape: Sequence[int]) -> Tensor:
    """Return the labels of data that carry no channel."""
    return torch.zeros([1] * len(shape), dtype=torch.int64).expand(list(shape))
