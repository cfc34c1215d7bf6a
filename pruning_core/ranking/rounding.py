"""Widths that hardware likes: how many channels of each layer of a row stay is rounded up to a multiple."""

import torch
from torch import Tensor

from pruning_core.coupling.units import Units


def rounded(units: Units, keep: Tensor, ranks: Tensor, multiple: int) -> Tensor:
    """Return `keep` (units,) with as many of the best others as make every width of the row a multiple of `multiple`.

    Channels are counted, not units: one unit of a grouped layer may stand for several, and channels that cannot go
    count as well. A width that is no multiple even of all channels stays whole.
    """
    if units.structure not in ("output", "input"):
        return keep
    keep, channels = keep.clone(), channels_of(units)  # (members, units)
    fixed = torch.tensor([int((unit < 0).sum()) for _, unit in units.sides.values()])
    while True:
        widths, left = fixed + channels[:, keep].sum(1), channels * ~keep
        off = (widths % multiple != 0) & left.any(1)
        if not off.any():
            return keep
        fits = left[off].any(0)
        spares = fits & ~left[~off].any(0)  # units that change no width that is right already
        candidates = (spares if spares.any() else fits).nonzero()[:, 0]
        keep[candidates[ranks[candidates].argmin()]] = True


def is_alike(units: Units) -> bool:
    """Whether every unit stands for as many channels of each member, so that their order does not change the count."""
    channels = channels_of(units)
    return bool((channels == channels[:, :1]).all())


def channels_of(units: Units) -> Tensor:
    """Return the channels of each member that each unit stands for, int64 (members, units)."""
    n = units.blocks_per_arena
    return torch.stack([torch.bincount(unit[unit >= 0], minlength=n) for _, unit in units.sides.values()])
