"""`Remains`: what stays of values and stored tensors when groups are removed, one bool vector per dimension."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.coupling.labels import IntArray, Labels, stored
from pruning_core.coupling.stored import StoredTensors
from pruning_core.errors import CannotRemove
from pruning_core.layers import tensor_at

BoolArray = NDArray[np.bool_]
Lines = tuple[Tensor, ...]  # one bool vector per dimension: which indices live


class Remains:
    """Look-ups in settled labels. A group is named by its number; `removed` is an array of such numbers."""

    def __init__(self, labels: Labels, tensors: StoredTensors, boxes: tuple[tuple[Tensor, str], ...]) -> None:
        self.labels, self.tensors = labels, tensors
        self.boxes = boxes  # distinct labels of values, and where they stand

    def has(self, group: int) -> bool:
        """Whether a number names a group."""
        return 0 < group < len(self.labels.parent) and bool(self.labels.parent[group] == group)

    def check_boxes(self, removed: IntArray) -> None:
        """Refuse what would leave a value that is no box, or nothing of one."""
        for labels, where in self.boxes:
            _box(labels, self._living(labels, removed), where)

    def of_value(self, labels: Tensor, removed: IntArray) -> Lines:
        """Return what stays of a value with these labels."""
        return _box(labels, self._living(labels, removed), "a value")

    def of_tensors(self, removed: IntArray) -> dict[str, Lines]:
        """Return what stays of each tensor of the working copy that loses something, by its one name there."""
        dead = self._dead(removed)
        lines: dict[str, Lines] = {}
        for name, labels in self.tensors.by_element.items():
            if dead[self._groups_in[name]].any():
                lines[name] = _box(labels, self._living(labels, removed), f"'{name}'")
        for name, shape in self._weights.items():
            if dead[self._groups_in[name]].any():
                lines[name] = tuple(self._slot_line(name, dim, size, removed) for dim, size in enumerate(shape))
        return lines

    def of_parameters(self, removed: IntArray) -> dict[str, Lines]:
        """Return what stays of each parameter and buffer of the model that loses something, packed ones whole."""
        parts, of_tensors = self.tensors.parts, self.of_tensors(removed)
        lines = {name: line for name, line in of_tensors.items() if name not in parts}
        for name in of_tensors:
            if name in parts:
                lines[parts[name].packed] = self._joined(parts[name].packed, of_tensors)
        return lines

    def _joined(self, packed: str, lines: dict[str, Lines]) -> Lines:
        whole = [torch.ones(size, dtype=torch.bool) for size in tensor_at(self.tensors.original, packed).shape]
        for name, part in self.tensors.parts.items():
            if part.packed == packed and name in lines:
                for dim, line in enumerate(lines[name]):
                    start = part.start if dim == part.dim else 0
                    whole[dim][start : start + len(line)] = line
        return tuple(whole)

    @cached_property
    def _groups_in(self) -> dict[str, IntArray]:
        """Stored tensor of the working copy -> the groups that occur in it, so that most need no second look."""
        labels = {name: [labels] for name, labels in self.tensors.by_element.items()}
        for name, shape in self._weights.items():
            slots = (self._slots(name, dim) for dim in range(len(shape)))
            labels[name] = [found for found in slots if found is not None]
        return {name: self._distinct(found) for name, found in labels.items()}

    def _distinct(self, labels: list[Tensor]) -> IntArray:
        small = [stored(found).reshape(-1).numpy() for found in labels]
        return np.unique(self.labels.parent[np.concatenate([np.zeros(1, np.int64), *small])])

    @cached_property
    def _weights(self) -> dict[str, tuple[int, ...]]:
        tensors = self.tensors
        names = {name for name, _ in tensors.by_slot} - set(tensors.by_element)
        packed = {part.packed for part in tensors.parts.values()}
        parts = {name for name, part in tensors.parts.items() if part.packed in names or name in names}
        shapes = {name: tuple(tensor_at(tensors.module, name).shape) for name in sorted((names - packed) | parts)}
        return {name: shape for name, shape in shapes.items() if len(shape) > 1}

    def _slot_line(self, name: str, dim: int, size: int, removed: IntArray) -> Tensor:
        labels = self._slots(name, dim)
        if labels is None:
            return torch.ones(size, dtype=torch.bool)
        return _box(labels, self._living(labels, removed), f"dimension {dim} of '{name}'")[0]

    def _slots(self, name: str, dim: int) -> Tensor | None:
        part = self.tensors.parts.get(name)
        return self.tensors.by_slot.get((part.packed if part and part.dim != dim else name, dim))

    def _dead(self, removed: IntArray) -> BoolArray:
        dead = np.zeros(len(self.labels.parent), dtype=np.bool_)
        dead[removed] = True
        return dead

    def _living(self, labels: Tensor, removed: IntArray) -> Tensor:
        small = stored(labels)
        gone: BoolArray = self._dead(removed)[self.labels.parent[small.numpy()]]
        return torch.from_numpy(~np.asarray(gone)).reshape(small.shape)


def _box(labels: Tensor, living: Tensor, where: str) -> Lines:
    """Return the living indices per dimension of `labels`; refuse what is no box."""
    if living.all():
        return tuple(torch.ones(size, dtype=torch.bool) for size in labels.shape)
    if living.dim() == 1 and living.any():
        return (living.expand(labels.shape),)
    lines, box = [], torch.ones_like(living)
    for dim in range(living.dim()):
        others = [other for other in range(living.dim()) if other != dim]
        line = living.any(others) if others else living
        shape = [1] * living.dim()
        shape[dim] = -1
        box &= line.reshape(shape)
        lines.append(line.expand(labels.shape[dim]))
    if not torch.equal(box, living):
        raise CannotRemove(f"{where} would not stay rectangular; remove whole groups of `roots` together")
    if any(line.numel() and not line.any() for line in lines):
        raise CannotRemove(f"nothing would be left of {where}; keep at least one of its groups")
    return tuple(lines)
