"""`Widths`: which channels of a row may stay together: one of each kind, and as many as hardware likes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pruning_core.coupling.units import Units
from pruning_core.graph import ModelGraph


@dataclass(frozen=True, eq=False)
class Widths:
    """The numbers of channels that a row decides: outputs of its layers, and what the readers take of them."""

    channels: Tensor  # (widths, units) int64: channels that each unit stands for
    fixed: Tensor  # (widths,) int64: channels that cannot go

    @staticmethod
    def of(units: Units, graph: ModelGraph) -> "Widths":
        """Return the widths of a row; a reader's other inputs, which come from other rows, do not count."""
        found = list(_counted(units, graph))
        return Widths(torch.stack([channels for channels, _ in found]), torch.tensor([fixed for _, fixed in found]))

    @cached_property
    def are_alike(self) -> bool:
        """Whether any unit changes the widths as any other does, so that the count does not depend on which go."""
        return bool((self.channels == self.channels[:, :1]).all())

    @cached_property
    def kinds(self) -> Tensor:
        """The kind of each unit, int64 (units,): those of one kind belong to the same layers, as values of heads do."""
        found: Tensor = torch.unique(self.channels > 0, dim=1, return_inverse=True)[1]
        return found

    def spared(self, keep: Tensor, ranks: Tensor) -> Tensor:
        """Return `keep` (units,) with the best unit of each kind that would go wholly, for the weakest of others."""
        keep, kinds = keep.clone(), self.kinds
        for kind in dict.fromkeys(kinds[ranks.argsort()].tolist()) if kinds.any() else ():
            counts = torch.bincount(kinds[keep], minlength=int(kinds.max()) + 1)
            spare = (keep & (counts[kinds] > 1)).nonzero()[:, 0]
            if counts[kind] == 0 and len(spare):
                own = (kinds == kind).nonzero()[:, 0]
                keep[spare[ranks[spare].argmax()]] = False
                keep[own[ranks[own].argmin()]] = True
        return keep

    def rounded(self, keep: Tensor, ranks: Tensor, multiple: int) -> Tensor:
        """Return `keep` (units,) and as many of the best others as make every width a multiple of `multiple`.

        A width that is no multiple even of all its channels stays whole.
        """
        keep = keep.clone()
        while True:
            left = self.channels * ~keep
            off = ((self.fixed + self.channels.sum(1) - left.sum(1)) % multiple != 0) & left.any(1)
            if not off.any():
                return keep
            fits = left[off].any(0)
            spares = fits & ~left[~off].any(0)  # units that change no width that is right already
            candidates = (spares if spares.any() else fits).nonzero()[:, 0]
            keep[candidates[ranks[candidates].argmin()]] = True


def _counted(units: Units, graph: ModelGraph) -> Iterator[tuple[Tensor, int]]:
    """Yield for each width the channels of each unit, and how many channels cannot go."""
    n = units.blocks_per_arena
    for unit in units.rows.values():
        yield torch.bincount(unit[unit >= 0], minlength=n), int((unit < 0).sum())
    for name, unit in units.columns.items():
        groups = graph.layer(name).groups  # a weight (out, in, *kernel) has the inputs of one group
        own = units.structure == "input" and name in units.members
        yield torch.bincount(unit[unit >= 0], minlength=n) * groups, int((unit < 0).sum()) * groups if own else 0
