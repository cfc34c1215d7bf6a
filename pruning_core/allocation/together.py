"""Allocations that rank the blocks of all layers together and read each layer's share off the cut."""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from pruning_core.allocation.seam import Allocation, Problem, allocation
from pruning_core.allocation.shares import allocation_of, check_free_sparsity, check_no_bounds
from pruning_core.errors import PlanError
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan
from pruning_core.registry import Setting
from pruning_core.selection import check_comparable


@allocation("global", label="Global")
def globally(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """All layers ranked together by score per weight, one cut for all (Blalock et al. 2020, arXiv:2003.03033).

    The masks are those of scope `model`, written as a sparsity for each layer.
    """
    _check("global", problem)
    wishes = {name: problem.wish_at(sparsity, name) for name in problem.free}
    check_comparable(wishes)
    removed = problem.ranking.removed_up_to(wishes) <= _n_weights(problem, sparsity)
    sizes = [problem.ranking.scores(name, wish).numel() for name, wish in wishes.items()]
    counts = {n: int(part.sum()) for n, part in zip(wishes, torch.split(removed, sizes), strict=True)}
    for name, size in zip(wishes, sizes, strict=True):
        if counts[name] == size:
            raise PlanError(
                f"{name}: ranked with all other layers it would lose all of its {size} blocks; lock it, lower the "
                "sparsity, or take lamp, which empties no layer"
            )
    return allocation_of(problem, counts)


@allocation("lamp", label="LAMP")
def lamp(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """All layers ranked together by w^2 over the sum of all w^2 at least as large (Lee et al. 2021, arXiv:2010.07611).

    Says how much of each layer; which blocks, the wish's own criterion says. A block counts with its sum of squares.
    """
    _check("lamp", problem)
    squares = {name: _squares(problem.wish_at(sparsity, name)) for name in problem.free}
    scores = {name: problem.ranking.scores(name, wish).flatten() for name, wish in squares.items()}
    sizes = {name: problem.ranking.layout(name, wish).block_sizes for name, wish in squares.items()}
    return allocation_of(problem, weakest(scores, sizes, _n_weights(problem, sparsity)))


def lamp_scores(squares: Tensor) -> Tensor:
    """Return the LAMP score of each block from its sum of squares (blocks,); the largest block scores 1."""
    ordered, order = torch.sort(squares.double(), stable=True)
    at_least = ordered.flip(0).cumsum(0).flip(0)
    return torch.empty_like(ordered).scatter_(0, order, ordered / at_least.clamp(min=torch.finfo(torch.double).tiny))


def weakest(squares: Mapping[str, Tensor], sizes: Mapping[str, Tensor], n_weights: int) -> dict[str, int]:
    """Return how many blocks of each layer go when the weakest of all go first, together at most `n_weights`.

    `squares` and `sizes` (blocks,) are the sum of squares and the weights of each block.
    """
    scores = torch.cat([lamp_scores(values) for values in squares.values()])
    owners = torch.cat([torch.full((len(values),), i) for i, values in enumerate(squares.values())])
    weights = torch.cat([sizes[name] for name in squares])
    order = torch.sort(scores, descending=True, stable=True).indices.flip(0)
    removed = owners[order][weights[order].cumsum(0) <= n_weights]
    counts = torch.bincount(removed, minlength=len(squares)).tolist()
    return dict(zip(squares, counts, strict=True))


def _check(name: str, problem: Problem) -> None:
    check_no_bounds(name, problem)
    check_free_sparsity(name, problem)


def _squares(wish: LayerPlan) -> LayerPlan:
    """Return the wish for the same blocks, scored by their sums of squares."""
    declared = GRANULARITIES[wish.granularity].settings
    settings = {name: value for name, value in wish.settings.items() if name in declared}
    return wish.model_copy(update={"criterion": "l2", "settings": settings})


def _n_weights(problem: Problem, sparsity: float) -> int:
    """Return the weights that go, rounded as `apply` does for scope `model`."""
    return round(sum(sparsity * problem.n_weights(name) for name in problem.free))
