"""Masks from scores: pool, rank, keep the largest, expand. Pure tensors; True = kept."""

from math import prod

import numpy as np
import torch
from torch import Tensor

from pruning_core.granularities import Layout

LONG = 8192  # scores in a row from which on their bits are sorted


def n_removed(sparsity: float, n: int) -> int:
    """Return how many of `n` blocks go at `sparsity`; halves round to even, as in torch.nn.utils.prune."""
    return round(sparsity * n)


def to_view(weight: Tensor, layout: Layout) -> Tensor:
    """Return `weight` (out, in, *kernel) permuted and reshaped to `layout.view`."""
    return weight.permute(layout.order).reshape(layout.view)


def from_view(viewed: Tensor, layout: Layout) -> Tensor:
    """Undo `to_view`."""
    permuted = [layout.weight_shape[axis] for axis in layout.order]
    inverse = [layout.order.index(axis) for axis in range(len(layout.order))]
    return viewed.reshape(permuted).permute(inverse)


def pool(scores: Tensor, layout: Layout) -> Tensor:
    """Sum scores (out, in, *kernel) over each block; return (arenas, blocks per arena)."""
    split = [n for size, block in zip(layout.view, layout.block, strict=True) for n in (size // block, block)]
    grid = to_view(scores, layout).reshape(split).sum(dim=list(range(1, len(split), 2)))
    return _to_arenas(grid, layout)


def expand(keep: Tensor, layout: Layout) -> Tensor:
    """Return the weight-shaped mask of `keep` (arenas, blocks per arena); a view of it where blocks are single."""
    grid = _from_arenas(keep, layout).reshape([n for size in layout.grid for n in (size, 1)])
    pairs = zip(layout.grid, layout.block, strict=True)
    return from_view(grid.expand([n for pair in pairs for n in pair]).reshape(layout.view).contiguous(), layout)


def ranks(scores: Tensor) -> Tensor:
    """Return int32 ranks along the last dimension: 0 is the largest; among equals the lowest index comes first."""
    by_bits = scores.dtype == torch.float32 and scores.device.type == "cpu" and scores.shape[-1] >= LONG
    order = _order_by_bits(scores) if by_bits else torch.sort(scores, dim=-1, descending=True, stable=True).indices
    places = torch.arange(scores.shape[-1], dtype=torch.int32, device=scores.device).expand(scores.shape)
    return torch.empty_like(order, dtype=torch.int32).scatter_(-1, order, places)


def _order_by_bits(scores: Tensor) -> Tensor:
    """Return the stable descending order of float32 scores: numpy sorts 16 bits by radix, 3 times as fast as torch.

    Read as whole numbers, floats of one sign are in order; negative ones are turned round.
    """
    bits = (scores + 0.0).contiguous().view(torch.int32)  # -0.0 becomes 0.0, which is equal to it
    ascending = torch.where(bits < 0, bits, bits.bitwise_xor(0x7FFFFFFF)).numpy().view(np.uint32)  # largest score first
    low = np.argsort(ascending.astype(np.uint16), axis=-1, kind="stable")
    high = np.take_along_axis((ascending >> 16).astype(np.uint16), low, axis=-1)
    return torch.from_numpy(np.take_along_axis(low, np.argsort(high, axis=-1, kind="stable"), axis=-1))


def keep_largest(scores: Tensor, n_keep: int) -> Tensor:
    """Keep exactly `n_keep` along the last dimension; ties are kept from the lowest index on."""
    return below(ranks(scores), n_keep)


def below(ranks: Tensor, n_keep: int) -> Tensor:
    """Return `ranks < n_keep`; numpy compares whole numbers 3 times as fast as torch."""
    return torch.from_numpy(ranks.numpy() < n_keep) if ranks.device.type == "cpu" else ranks < n_keep


def _to_arenas(grid: Tensor, layout: Layout) -> Tensor:
    if layout.arena is None:
        return grid.reshape(1, -1)
    split, inner = _arena_split(layout)
    outer = [axis for axis in range(len(split)) if axis not in inner]
    return grid.reshape(split).permute(outer + inner).reshape(-1, prod(split[axis] for axis in inner))


def _from_arenas(keep: Tensor, layout: Layout) -> Tensor:
    if layout.arena is None:
        return keep.reshape(layout.grid)
    split, inner = _arena_split(layout)
    outer = [axis for axis in range(len(split)) if axis not in inner]
    permutation = outer + inner
    inverse = [permutation.index(axis) for axis in range(len(split))]
    return keep.reshape([split[axis] for axis in permutation]).permute(inverse).reshape(layout.grid)


def _arena_split(layout: Layout) -> tuple[list[int], list[int]]:
    """Return the grid with each axis cut into (arenas, blocks inside), and which axes lie inside an arena."""
    arena = layout.arena or layout.view
    per_axis = [size // block for size, block in zip(arena, layout.block, strict=True)]
    split = [n for size, inside in zip(layout.grid, per_axis, strict=True) for n in (size // inside, inside)]
    return split, list(range(1, len(split), 2))
