"""What is decided when all unions are known: grouped convolutions, rectangles, waiting joins.

After a removal every tensor must still be a box: the product of one set of indices per dimension. So a group must be
whole slices of one dimension of every tensor in which it appears.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pruning_core.coupling.context import Context, Grouped, tensors_in
from pruning_core.coupling.labels import NO_CHANNEL, Labels, first_of, stored, varying_dims
from pruning_core.coupling.meetings import size_along

_NOT_A_BOX = "its tensor would not stay rectangular"
_ROUNDS = 20


def settle(ctx: Context) -> None:
    """Unite until every tensor stays a box whatever set of groups is removed; freeze what cannot follow."""
    for grouped in ctx.grouped:
        _settle_grouped(ctx, grouped)
    for _ in range(_ROUNDS):
        before = ctx.labels.parent.copy()
        _settle_deferred(ctx)  # first: a table (tokens, size) alone would keep its tokens
        _make_boxes(ctx)
        if np.array_equal(before, ctx.labels.parent):
            break
    for labels, dims, reason in ctx.constant_dims:
        if set(varying_dims(ctx.roots(labels))) & set(dims):
            ctx.labels.freeze(labels, reason)
    _freeze_two_roles(ctx)


def _settle_grouped(ctx: Context, grouped: Grouped) -> None:
    """A grouped convolution can lose whole groups, or the same positions of every group: what leaves more groups.

    Depthwise (one input and output position per group): whole groups, nothing else exists.
    """
    entering, leaving = grouped.entering, grouped.leaving
    flat = stored(ctx.roots(entering))
    flat = flat.expand(*flat.shape[:-2], *entering.shape[-2:]).reshape(-1, *entering.shape[-2:])[0]
    out = ctx.roots(leaving)
    whole = groups_left(flat, 0) + groups_left(out, 0)
    positions = groups_left(flat, 1) + groups_left(out, 1)
    reason = "a grouped convolution reads data without channels, such as the model's input"
    if entering.shape[-1] == 1 or whole >= positions:
        ctx.labels.unite(entering, leaving[:, :1], reason)
        ctx.labels.unite(leaving, leaving[:, :1], reason)
    else:
        inputs = first_of(entering, [entering.dim() - 2])
        outputs = leaving[:1]
        if grouped.inputs_dim is not None:
            inputs = ctx.slots(grouped.weight, grouped.inputs_dim)
        if grouped.outputs_dim is not None:
            outputs = ctx.slots(grouped.weight, grouped.outputs_dim)
        ctx.labels.unite(entering, inputs, reason)
        ctx.labels.unite(leaving, outputs, reason)


def groups_left(box: Tensor, axis: int) -> int:
    """Count the groups that remain if the labels of each slice of `axis` become one."""
    rows = box.movedim(axis, 0).reshape(box.shape[axis], -1)
    unique, dense = torch.unique(rows, return_inverse=True)
    dense = dense if int(unique[0]) == NO_CHANNEL else dense + 1
    joined = Labels()
    joined.fresh(len(unique))
    joined.unite(dense, dense[:, :1], "")
    return len(torch.unique(joined.roots(dense)))


def _every(ctx: Context) -> Iterator[Tensor]:
    for value in ctx.values.values():
        yield from tensors_in(value)
    yield from ctx.tensors.by_element.values()
    yield from ctx.boxes


def _make_boxes(ctx: Context) -> None:
    """A view (heads, size) or (groups, channels) varies along several dimensions together: keep one of them."""
    seen = set()
    for labels in _every(ctx):
        box = stored(ctx.roots(labels))
        if len(varying_dims(box)) < 2:
            continue
        box = box.squeeze()
        key = (tuple(box.shape), box.numpy().tobytes())
        if key in seen:
            continue
        seen.add(key)
        while len(varying_dims(box)) > 1 and is_ragged(box):
            axis = max(varying_dims(box), key=partial(groups_left, box))
            for dim in range(box.dim()):
                if dim != axis:
                    ctx.labels.unite(box, box.narrow(dim, 0, 1), _NOT_A_BOX)
            before, box = box, ctx.roots(box)
            if torch.equal(before, box):  # what is left beside data without channels is frozen by now
                break


def is_ragged(box: Tensor) -> bool:
    """Whether some label is not a union of whole slices of one dimension."""
    clean = torch.zeros_like(box, dtype=torch.bool)
    for dim in range(box.dim()):
        rows = box.movedim(dim, 0).reshape(box.shape[dim], -1)
        shape = [1] * box.dim()
        shape[dim] = -1
        clean |= (rows == rows[:, :1]).all(1).reshape(shape)
    return bool((~clean & (box != 0)).any())


def _settle_deferred(ctx: Context) -> None:
    for x, y, node in ctx.deferred:
        varying = varying_dims(ctx.roots(x))
        free = [dim for dim in varying if size_along(y, dim, x.dim()) == 1]
        if len(free) == len(varying):
            ctx.labels.freeze(y, f"{ctx.where(node)} repeats it over other channels")
        elif not free:
            ctx.unite(x, y.expand(x.shape), node)


def _freeze_two_roles(ctx: Context) -> None:
    """One tensor cannot be cut as a weight and as plain data at once."""
    for name in {name for name, _ in ctx.tensors.by_slot} & set(ctx.tensors.by_element):
        reason = f"'{name}' is used both as the weight of a layer and as plain data"
        ctx.labels.freeze(ctx.tensors.by_element[name], reason)
        for (other, _), labels in ctx.tensors.by_slot.items():
            if other == name:
                ctx.labels.freeze(labels, reason)
