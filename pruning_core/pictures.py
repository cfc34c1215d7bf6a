"""Pictures of a layer's weight for a screen: magnitudes with the mask over them, and the histogram with its threshold.

A picture larger than the screen is aggregated by means of equal tiles, and says so; nothing is left out silently.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

View = Literal["folded", "kernels"]
MOST = 512  # cells along one side
KERNELS_MOST = 24  # kernels along one side of the grid


@dataclass(frozen=True)
class Picture:
    """Magnitudes (rows = inputs, columns = outputs), the kept share of each cell, and what was done to get there."""

    magnitudes: Tensor  # (rows, cols)
    kept: Tensor  # (rows, cols), 0 to 1
    row_ids: tuple[int, ...]  # input of each row (the first, where several were aggregated)
    col_ids: tuple[int, ...]  # output of each column
    label: str
    weights_per_cell: int
    aggregated: str | None
    limited: str | None  # what is not drawn


@dataclass(frozen=True)
class Histogram:
    """Counts of weights by value in equal bins from -limit to limit, and how many of each bin are pruned."""

    limit: float
    counts: tuple[int, ...]
    pruned: tuple[int, ...]
    threshold: float | None  # |w| below which all are pruned and above which all are kept; None where there is none
    quantiles: tuple[float, ...]  # of |w| at 0, 1, ... 100 %


def picture(weight: Tensor, mask: Tensor | None, view: View = "folded", by_norm: bool = True) -> Picture:
    """Draw `weight` (out, in, *kernel) under `mask`; `by_norm` orders inputs and outputs from the largest norm on."""
    size = weight.abs().flatten(2) if weight.dim() > 2 else weight.abs().unsqueeze(-1)  # (out, in, k)
    kept = torch.ones_like(size) if mask is None else mask.float().reshape(size.shape)
    columns, rows = _order(size.sum((1, 2)), by_norm), _order(size.sum((0, 2)), by_norm)
    if view == "kernels" and weight.dim() > 2:
        return _kernels(weight, kept.reshape(weight.shape), rows, columns)
    folded = [part.mean(2)[columns][:, rows].T for part in (size, kept)]
    per_cell = size.shape[2]
    label = "size of weight" if per_cell == 1 else "mean size of weight"
    return _aggregate(folded[0], folded[1], rows, columns, label, per_cell)


def histogram(weight: Tensor, mask: Tensor | None, bins: int = 97) -> Histogram:
    """Count weights by value; `bins` is odd so that one bin is centred on zero."""
    values = weight.flatten().float()
    limit = float(values.abs().max()) or 1.0
    edges = (values / limit + 1).mul(bins / 2).long().clamp(max=bins - 1)
    gone = torch.zeros_like(values, dtype=torch.bool) if mask is None else ~mask.flatten()
    counts = torch.bincount(edges, minlength=bins)
    pruned = torch.bincount(edges[gone], minlength=bins)
    sizes = values.abs()
    ordered = sizes.sort().values
    places = torch.linspace(0, len(ordered) - 1, 101).round().long()
    return Histogram(
        limit, tuple(counts.tolist()), tuple(pruned.tolist()), _threshold(sizes, gone), tuple(ordered[places].tolist())
    )


def _threshold(sizes: Tensor, gone: Tensor) -> float | None:
    if not gone.any():
        return 0.0
    largest_gone, smallest_kept = float(sizes[gone].max()), float(sizes[~gone].min())
    return (largest_gone + smallest_kept) / 2 if largest_gone <= smallest_kept else None


def _order(norms: Tensor, by_norm: bool) -> Tensor:
    return torch.sort(norms, descending=True, stable=True).indices if by_norm else torch.arange(len(norms))


def _kernels(weight: Tensor, kept: Tensor, rows: Tensor, columns: Tensor) -> Picture:
    """Lay the kernels out as a grid, each with its own positions; only as many as can be told apart."""
    rows, columns = rows[:KERNELS_MOST], columns[:KERNELS_MOST]
    shown = f"{len(columns)} × {len(rows)} of {weight.shape[0]} × {weight.shape[1]} kernels"
    limited = shown if len(columns) < weight.shape[0] or len(rows) < weight.shape[1] else None
    grids = []
    for part in (weight.abs(), kept):
        chosen = part[columns][:, rows].flatten(2, -2) if weight.dim() > 3 else part[columns][:, rows].unsqueeze(2)
        grids.append(chosen.permute(1, 2, 0, 3).reshape(len(rows) * chosen.shape[2], -1))
    high, wide = grids[0].shape[0] // len(rows), grids[0].shape[1] // len(columns)
    row_ids = tuple(rows.repeat_interleave(high).tolist())
    col_ids = tuple(columns.repeat_interleave(wide).tolist())
    return Picture(grids[0], grids[1], row_ids, col_ids, "size of weight", 1, None, limited)


def _aggregate(size: Tensor, kept: Tensor, rows: Tensor, columns: Tensor, label: str, per_cell: int) -> Picture:
    high, wide = ceil(size.shape[0] / MOST), ceil(size.shape[1] / MOST)
    if high == wide == 1:
        return Picture(size, kept, tuple(rows.tolist()), tuple(columns.tolist()), label, per_cell, None, None)
    small = [_means(part, high, wide) for part in (size, kept)]
    shapes = f"{size.shape[0]} × {size.shape[1]} shown as {small[0].shape[0]} × {small[0].shape[1]}"
    sentence = f"Each cell is the mean of {high} × {wide} {'kernels' if per_cell > 1 else 'weights'}; {shapes}."
    ids = tuple(rows[::high].tolist()), tuple(columns[::wide].tolist())
    return Picture(small[0], small[1], *ids, "mean size of weight", per_cell * high * wide, sentence, None)


def _means(values: Tensor, high: int, wide: int) -> Tensor:
    """Means of tiles; tiles cut off at the edge are means of what they hold."""
    return F.avg_pool2d(values[None, None], (high, wide), ceil_mode=True)[0, 0]
