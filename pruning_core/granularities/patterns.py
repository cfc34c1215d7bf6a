"""Patterns: every kernel keeps one of a small set of shapes, which is found in the model's own weights."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Annotated

import torch
from torch import Tensor

from pruning_core.errors import GranularityError
from pruning_core.granularities.seam import Layout, Shape, granularity
from pruning_core.registry import Setting

MOST_POSITIONS = 62  # a pattern is a whole number with one bit for each position


@granularity("pattern", label="Pattern")
def pattern(
    shape: Shape, *, entries: Annotated[int, Setting(1, 61)] = 4, patterns: Annotated[int, Setting(1, 64)] = 8
) -> Layout:
    """Kernels keep their best of a few shapes, entries positions each (PatDNN, Niu et al. 2020, arXiv:2001.00138).

    The set holds the most frequent natural patterns of all kernels of the model with this shape.
    """
    positions = prod(shape[2:])
    if positions == 1:
        raise GranularityError("a weight without kernel positions has no patterns; n_m keeps a few of every few inputs")
    if positions > MOST_POSITIONS:
        raise GranularityError(
            f"patterns are for kernels of up to {MOST_POSITIONS} positions, these have {positions}; vector or n_m fit"
        )
    if entries >= positions:
        raise GranularityError(
            f"a pattern of {entries} removes nothing from kernels of {positions}; entries of {positions - 1} or less do"
        )
    allowed = partial(pattern_set, entries=entries, patterns=patterns)
    axes, view, steps = tuple(range(len(shape))), (shape[0] * shape[1], positions), (0.0, 1 - entries / positions)
    return Layout(shape, axes, view, (1, 1), (1, positions), steps, allowed, choose_patterns)


def choose_patterns(scores: Tensor, allowed: Tensor) -> Tensor:
    """Return `scores` (out, in, *kernel) lowered just so far that the best pattern of each kernel comes out on top.

    The best of `allowed` (patterns, positions) has the largest sum of scores, among equals the first; its scores stay.
    """
    kernels = scores.flatten(2).flatten(0, 1)  # (out * in, positions)
    sums = torch.stack([kernels[:, shape].double().sum(1) for shape in allowed.to(kernels.device)])
    inside = allowed.to(kernels.device)[sums.argmax(0)]
    lowest = kernels.masked_fill(~inside, torch.inf).amin(1, keepdim=True)
    below = torch.nextafter(kernels.minimum(lowest), torch.full_like(lowest, -torch.inf))
    return torch.where(inside, kernels, below).reshape(scores.shape)


def pattern_set(weights: Sequence[Tensor], entries: int, patterns: int) -> Tensor:
    """Return the most frequent natural patterns of the kernels of `weights`, (up to `patterns`, positions) bool.

    The natural pattern of a kernel is its middle, where it has one, and its largest weights besides. More frequent
    patterns come first, among equals those of earlier positions.
    """
    magnitudes = torch.cat([weight.detach().flatten(2).flatten(0, 1).abs().cpu() for weight in weights])
    if all(size % 2 for size in weights[0].shape[2:]):
        magnitudes[:, magnitudes.shape[1] // 2] = torch.inf
    largest = torch.sort(magnitudes, dim=1, descending=True, stable=True).indices[:, :entries]
    numbers, counts = torch.unique((1 << largest).sum(1), return_counts=True)
    most_frequent = numbers[torch.sort(counts, descending=True, stable=True).indices[:patterns]]
    bits: Tensor = most_frequent[:, None] >> torch.arange(magnitudes.shape[1])
    return bits.bitwise_and(1).bool()
