"""Which channels live or die together, found from the traced graph alone: no rule knows a model.

The graph is run a second time on labels that say which channel controls each element. Weights give fresh labels, data
movement carries them, operands that meet unite them; every root of the union-find is one removable group.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from pruning_core.coupling.context import Context, Options, tensors_in
from pruning_core.coupling.labels import IntArray, Labels, compact, stored, varying_dims
from pruning_core.coupling.passes import Part, working_copy
from pruning_core.coupling.propagate import propagate
from pruning_core.coupling.settle import settle
from pruning_core.coupling.stored import StoredTensors
from pruning_core.errors import CannotRemove
from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Coupling:
    """The groups of a graph. A group is named by its number; `removed` is an array of such numbers."""

    options: Options
    module: fx.GraphModule  # working copy: shuffles as index_select, packed weights in parts; shares tensors
    values: dict[fx.Node, Any]  # labels of the value at batch 2 (int64, 0 = no channel), number, or tuple of these
    roots: dict[tuple[str, int], IntArray]  # (original tensor, stored dimension) -> group of each index, 0 = none
    outputs: dict[str, IntArray]  # weight -> group of each output of the whole layer, 0 = none
    why_not: dict[int, str]  # group -> one sentence why it must stay; absent = prunable
    heads: frozenset[int]  # groups that are attention heads
    unknown: dict[str, int]  # "aten.x: reason" -> how often labels reached it
    statistics: dict[fx.Node, tuple[int, ...]]  # norms whose statistic runs over dimensions that may shrink
    parts: dict[str, Part]  # tensors of `module` that are runs of a packed parameter of the model
    _labels: Labels = field(repr=False)
    _tensors: StoredTensors = field(repr=False)
    _boxes: tuple[tuple[Tensor, str], ...] = field(repr=False)  # distinct labels of values, and where they stand

    @property
    def original(self) -> fx.GraphModule:
        """The graph of the model as traced."""
        return self._tensors.original

    def prunable(self) -> IntArray:
        """Return all groups that may be removed."""
        found = np.unique(np.concatenate([*self.roots.values(), np.zeros(1, dtype=np.int64)]))
        return found[~np.isin(found, [0, *self.why_not])]

    def alive(self, labels: Tensor, removed: IntArray) -> tuple[Tensor, ...]:
        """Return what stays of a value: one bool vector per dimension; their product is the living elements."""
        return _box(labels, self._living(labels, removed), "a value")

    def stored_lines(self, removed: IntArray) -> dict[str, tuple[Tensor, ...]]:
        """Return what stays of each tensor of `module` that loses something, by its one name there."""
        self._check(removed)
        lines: dict[str, tuple[Tensor, ...]] = {}
        dead = self._dead(removed)
        for name, labels in self._tensors.by_element.items():
            if dead[self._groups_in[name]].any():
                lines[name] = _box(labels, self._living(labels, removed), f"'{name}'")
        for name, shape in self._weights.items():
            if dead[self._groups_in[name]].any():
                lines[name] = tuple(self._slot_line(name, dim, size, removed) for dim, size in enumerate(shape))
        return lines

    def lines(self, removed: IntArray) -> dict[str, tuple[Tensor, ...]]:
        """Return what stays of each parameter and buffer of the model that loses something, per stored dimension."""
        stored_lines = self.stored_lines(removed)
        lines = {name: line for name, line in stored_lines.items() if name not in self.parts}
        for name in stored_lines:
            if name in self.parts:
                lines[self.parts[name].packed] = self._joined(self.parts[name].packed, stored_lines)
        return lines

    def _joined(self, packed: str, lines: dict[str, tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        whole = [torch.ones(size, dtype=torch.bool) for size in tensor_at(self.original, packed).shape]
        for name, part in self.parts.items():
            if part.packed == packed and name in lines:
                for dim, line in enumerate(lines[name]):
                    start = part.start if dim == part.dim else 0
                    whole[dim][start : start + len(line)] = line
        return tuple(whole)

    @cached_property
    def _groups_in(self) -> dict[str, IntArray]:
        """Stored tensor of `module` -> the groups that occur in it, so that most tensors need no second look."""
        labels = {name: [labels] for name, labels in self._tensors.by_element.items()}
        for name, shape in self._weights.items():
            slots = (self._slots(name, dim) for dim in range(len(shape)))
            labels[name] = [found for found in slots if found is not None]
        return {name: self._distinct(found) for name, found in labels.items()}

    def _distinct(self, labels: list[Tensor]) -> IntArray:
        small = [stored(found).reshape(-1).numpy() for found in labels]
        return np.unique(self._labels.parent[np.concatenate([np.zeros(1, np.int64), *small])])

    @cached_property
    def _weights(self) -> dict[str, tuple[int, ...]]:
        names = {name for name, _ in self._tensors.by_slot} - set(self._tensors.by_element)
        packed = {part.packed for part in self.parts.values()}
        parts = {name for name, part in self.parts.items() if part.packed in names or name in names}
        return {
            name: tuple(tensor_at(self.module, name).shape)
            for name in sorted((names - packed) | parts)
            if tensor_at(self.module, name).dim() > 1
        }

    def _slot_line(self, name: str, dim: int, size: int, removed: IntArray) -> Tensor:
        labels = self._slots(name, dim)
        if labels is None:
            return torch.ones(size, dtype=torch.bool)
        return _box(labels, self._living(labels, removed), f"dimension {dim} of '{name}'")[0]

    def _slots(self, name: str, dim: int) -> Tensor | None:
        part = self.parts.get(name)
        return self._tensors.by_slot.get((part.packed if part and part.dim != dim else name, dim))

    def _dead(self, removed: IntArray) -> BoolArray:
        dead = np.zeros(len(self._labels.parent), dtype=np.bool_)
        dead[removed] = True
        return dead

    def _living(self, labels: Tensor, removed: IntArray) -> Tensor:
        small = stored(labels)
        gone: BoolArray = self._dead(removed)[self._labels.parent[small.numpy()]]
        return torch.from_numpy(~np.asarray(gone)).reshape(small.shape)

    def _check(self, removed: IntArray) -> None:
        for group in np.asarray(removed).tolist():
            if not 0 < group < len(self._labels.parent) or self._labels.parent[group] != group:
                raise CannotRemove(f"there is no group {group}; the numbers in `roots` name groups")
            if group in self.why_not:
                raise CannotRemove(f"group {group} must stay: {self.why_not[group]}")
        for labels, where in self._boxes:
            _box(labels, self._living(labels, removed), where)


def couple(graph: ModelGraph, options: Options | None = None) -> Coupling:
    """Find the groups of `graph`; the graph and its tensors are not changed."""
    options = options or Options()
    module, parts = working_copy(graph.module)
    tensors = StoredTensors(module, graph, parts)
    ctx = Context(tensors, options)
    propagate(ctx, module)
    settle(ctx)
    labels = ctx.labels
    labels.parent = labels.find(np.arange(len(labels.parent)))  # flat: one look-up from now on
    table = _table(ctx)
    why_not = labels.reasons()
    for (name, dim), roots in table.items():
        if len(roots) and roots[0] and (roots == roots[0]).all():
            why_not.setdefault(int(roots[0]), f"it is all of dimension {dim} of '{name}': nothing would be left")
    wanted = labels.distinct(np.concatenate([np.zeros(1, dtype=np.int64), *table.values()]))
    heads = {int(root) for side in ctx.heads for root in labels.distinct(stored(ctx.roots(side)).numpy())}
    return Coupling(
        options=options,
        module=module,
        values=ctx.values,
        roots=table,
        outputs=_outputs(ctx, graph, table),
        why_not={group: why_not[group] for group in wanted.tolist() if group in why_not},
        heads=frozenset(heads & set(wanted.tolist())),
        unknown=ctx.unknown_operators,
        statistics=_statistics(ctx),
        parts=parts,
        _labels=labels,
        _tensors=tensors,
        _boxes=_boxes(ctx),
    )


def _table(ctx: Context) -> dict[tuple[str, int], IntArray]:
    """Return the groups of all stored dimensions, packed tensors joined from their parts."""
    tensors = ctx.tensors
    slots = {key: ctx.roots(labels).numpy().copy() for key, labels in tensors.by_slot.items()}
    wanted = np.zeros(len(ctx.labels.parent), dtype=np.bool_)
    wanted[np.concatenate([np.zeros(1, dtype=np.int64), *slots.values()])] = True
    for name, labels in tensors.by_element.items():
        roots = ctx.roots(labels)
        for dim in varying_dims(roots) or ([0] if roots.dim() == 1 and roots.numel() > 1 else []):
            line = slice_labels(roots, dim)
            known = np.where(wanted[line], line, 0)
            if known.any() and (name, dim) not in slots:
                slots[name, dim] = known
    return _join_parts(tensors, slots)


def slice_labels(roots: Tensor, dim: int) -> IntArray:
    """Return the one label of each slice of `dim`, 0 where it has several."""
    small = stored(roots)
    rows = small.movedim(dim, 0).reshape(small.shape[dim], -1).numpy()
    line = np.where((rows == rows[:, :1]).all(1), rows[:, 0], 0)
    return np.ascontiguousarray(np.broadcast_to(line, roots.shape[dim]))


def _join_parts(tensors: StoredTensors, slots: dict[tuple[str, int], IntArray]) -> dict[tuple[str, int], IntArray]:
    joined: dict[tuple[str, int], IntArray] = {}
    for (name, dim), roots in slots.items():
        part = tensors.parts.get(name)
        if part is None:
            joined[name, dim] = roots
            continue
        size = tensor_at(tensors.original, part.packed).shape[dim]
        start = part.start if dim == part.dim else 0
        whole = joined.setdefault((part.packed, dim), np.zeros(size, dtype=np.int64))
        whole[start : start + len(roots)] = roots
    return joined


def _outputs(ctx: Context, graph: ModelGraph, table: dict[tuple[str, int], IntArray]) -> dict[str, IntArray]:
    """Return the groups of each layer's outputs; a grouped transposed convolution stores no dimension of them."""
    found = {}
    for layer in graph.layers:
        key = (layer.parameter, 1 if layer.stored_in_out else 0)
        if layer.parameter in ctx.leaving:
            found[layer.parameter] = ctx.roots(ctx.leaving[layer.parameter]).numpy().copy()
        elif key in table:
            found[layer.parameter] = table[key]
    return found


def _statistics(ctx: Context) -> dict[fx.Node, tuple[int, ...]]:
    found: dict[fx.Node, tuple[int, ...]] = {}
    for node, labels, dims in ctx.statistics:
        if set(dims) & set(varying_dims(ctx.roots(labels))):
            found[node] = tuple(dims)
    return found


def _boxes(ctx: Context) -> tuple[tuple[Tensor, str], ...]:
    """Return each distinct labelling of a value once, with the operator that makes it."""
    found: dict[tuple[tuple[int, ...], bytes], tuple[Tensor, str]] = {}
    for node, value in ctx.values.items():
        for labels in tensors_in(value):
            small = stored(compact(ctx.roots(labels))).squeeze()
            if small.dim() and small.any():
                key = (tuple(small.shape), small.numpy().tobytes())
                found.setdefault(key, (small, f"the result of {ctx.where(node)}"))
    for labels in ctx.boxes:
        small = stored(compact(ctx.roots(labels))).squeeze()
        found.setdefault((tuple(small.shape), small.numpy().tobytes()), (small, "a group norm"))
    return tuple(found.values())


def _box(labels: Tensor, living: Tensor, where: str) -> tuple[Tensor, ...]:
    """Return the living indices per dimension of `labels`; refuse what is no box."""
    if living.all():
        return tuple(torch.ones(size, dtype=torch.bool) for size in labels.shape)
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
