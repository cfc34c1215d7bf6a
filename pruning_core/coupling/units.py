"""`Units`: what one structural wish ranks. Each unit is a group of coupled channels that lives or dies as a whole."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pruning_core.coupling.labels import IntArray


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a row of coupled layers; stands where a `Layout` does for granularities of the weight alone."""

    structure: str  # output, input, head or branch
    members: tuple[str, ...]  # layers whose outputs (or inputs) these are: one row of the screen
    groups: IntArray  # (n,) their numbers in the coupling
    rows: dict[str, Tensor]  # layer -> unit of each output, int64 (out,); -1: none
    columns: dict[str, Tensor]  # layer -> unit of each input of its weight, int64 (in,); -1: none
    kept_by_reason: dict[str, int]  # why some channels of the members cannot go -> how many
    weights: tuple[int, ...]  # (n,) weights of the members that a unit holds
    arena: None = None
    steps: tuple[float, ...] | None = None
    n_arenas: int = 1

    @property
    def blocks_per_arena(self) -> int:
        """Units that compete."""
        return len(self.groups)

    @cached_property
    def block_sizes(self) -> Tensor:
        """Weights of the members in each unit, int64 (n,)."""
        return torch.tensor(self.weights)

    @cached_property
    def weights_per_score(self) -> float:
        """Weights whose scores a score of `pool` sums, on the average: those of a slice, or all of a branch."""
        n_slices = sum(int((unit >= 0).sum()) for _, unit in self.sides.values()) if self.structure != "branch" else 1
        return sum(self.weights) / n_slices

    @property
    def sides(self) -> dict[str, tuple[int, Tensor]]:
        """Member -> the dimension of its weight (out, in, *kernel) that units cut, and the unit of each index."""
        dimension, units = (1, self.columns) if self.structure == "input" else (0, self.rows)
        return {name: (dimension, units[name]) for name in self.members}

    def pool(self, scores: dict[str, Tensor]) -> Tensor:
        """Mean over a unit's slices of the sums of the members' scores (out, in, *kernel); returns (1, units).

        The mean, and not the sum, makes units comparable where not every unit passes through every member.
        """
        if self.structure == "branch":
            return torch.stack([score.float().sum() for score in scores.values()]).sum().reshape(1, 1)
        totals, counts = torch.zeros(len(self.groups)), torch.zeros(len(self.groups))
        for name, (dimension, unit) in self.sides.items():
            slices = scores[name].movedim(dimension, 0).flatten(1).sum(1) if scores[name].dim() > 1 else scores[name]
            here = unit >= 0
            totals.index_add_(0, unit[here], slices[here].float())
            counts.index_add_(0, unit[here], torch.ones(int(here.sum())))
        return (totals / counts.clamp(min=1))[None]
