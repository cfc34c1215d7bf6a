"""How the labels of operands meet: elementwise under broadcasting, in contractions, under one statistic."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx

from pruning_core.coupling.labels import first_of, stored, varying_dims, without_repeats

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context


def statistic(
    ctx: "Context", node: fx.Node, x: Tensor, dims: Sequence[int], is_norm: bool = False, whole: bool = False
) -> None:
    """One value over `dims`: labels that vary elsewhere too (heads) become one along `dims`, others stay.

    `whole` keeps whole slices (groups of a group norm) even where the same dimensions of all heads go together.
    """
    dims = [dim % x.dim() for dim in dims]
    varying = varying_dims(ctx.roots(x))
    inside, outside = [d for d in varying if d in dims], [d for d in varying if d not in dims]
    across_heads = ctx.options.heads == "dimension" and x.dim() - 1 in inside and not whole
    if not inside:
        return
    if outside:
        ctx.unite(x, first_of(x, outside if across_heads else inside), node)
        if not across_heads:
            return
    if is_norm and ctx.options.through_norms:
        ctx.statistics.append((node, x, dims))
        return
    reason = f"{ctx.where(node)} computes one value over all these channels"
    ctx.labels.freeze(x, f"{reason}; the plan option through_norms lets them go" if is_norm else reason)


def split_heads(ctx: "Context", node: fx.Node, side: Tensor, other: Tensor, summed: list[int]) -> None:
    """Decide for one side of a contraction what (heads, size) jointly varying labels become."""
    varying = varying_dims(ctx.roots(side))
    lacking = [d for d in varying if other.shape[d] == 1 and d not in summed]
    inside, shared = [d for d in varying if d in summed], [d for d in varying if d not in summed + lacking]
    if ctx.options.heads == "dimension" and shared:
        if inside or lacking:
            ctx.unite(side, first_of(side, shared), node)
        return
    if inside and len(inside) < len(varying):
        ctx.unite(side, first_of(side, inside), node)
        ctx.heads.append(side)
    elif lacking and set(shared) & set(varying_dims(ctx.roots(other))):
        ctx.unite(side, first_of(side, lacking), node)
        ctx.heads.append(side)


def join(ctx: "Context", a: Tensor, b: Tensor, node: fx.Node) -> Tensor:
    """Elementwise meeting; broadcasting decides which labels it binds."""
    shape = list(np.broadcast_shapes(a.shape, b.shape))
    for x, y in ((a, b), (b, a)):
        varying = varying_dims(ctx.roots(x).expand(shape))
        free = [dim for dim in varying if size_along(y, dim, len(shape)) == 1]  # y is repeated along these
        if free and len(free) < len(varying):  # heads x size against a table of one of the two: wait
            ctx.deferred.append((x.expand(shape), y, node))
            return x.expand(shape)
        if free:  # y has nothing to cut along the dimensions where x varies
            ctx.labels.freeze(y, f"{ctx.where(node)} repeats one channel over all others")
            return x.expand(shape)
    a, b = a.expand(shape), b.expand(shape)
    ctx.unite(a, b, node)
    first, second = ctx.roots(a), ctx.roots(b)
    if not stored(first).any():
        return second
    if not stored(second).any():
        return first
    first, second = without_repeats(first, second)
    return torch.where(first == 0, second, first).expand(shape)


def size_along(labels: Tensor, dim: int, rank: int) -> int:
    """Return the size of `labels` along `dim` of a broadcast shape of `rank` dimensions."""
    own = dim - (rank - labels.dim())
    return labels.shape[own] if own >= 0 else 1
