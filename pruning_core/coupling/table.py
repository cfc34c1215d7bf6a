"""What is read off the labels when all is settled: the groups of stored dimensions, of outputs, of values."""

import numpy as np
from torch import Tensor, fx

from pruning_core.coupling.context import Context, tensors_in
from pruning_core.coupling.labels import IntArray, compact, stored, varying_dims
from pruning_core.coupling.stored import StoredTensors
from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at


def table_of(ctx: Context) -> dict[tuple[str, int], IntArray]:
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


def outputs_of(ctx: Context, graph: ModelGraph, table: dict[tuple[str, int], IntArray]) -> dict[str, IntArray]:
    """Return the groups of each layer's outputs; a grouped transposed convolution stores no dimension of them."""
    found = {}
    for layer in graph.layers:
        key = (layer.parameter, 1 if layer.stored_in_out else 0)
        if layer.parameter in ctx.leaving:
            found[layer.parameter] = ctx.roots(ctx.leaving[layer.parameter]).numpy().copy()
        elif key in table:
            found[layer.parameter] = table[key]
    return found


def statistics_of(ctx: Context) -> dict[fx.Node, tuple[int, ...]]:
    """Return the norms whose statistic runs over dimensions that may shrink."""
    found: dict[fx.Node, tuple[int, ...]] = {}
    for node, labels, dims in ctx.statistics:
        if set(dims) & set(varying_dims(ctx.roots(labels))):
            found[node] = tuple(dims)
    return found


def distinct_boxes(ctx: Context) -> tuple[tuple[Tensor, str], ...]:
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
