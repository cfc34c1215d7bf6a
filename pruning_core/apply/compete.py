"""Scope "model": the blocks of all layers are ranked together and share one budget."""

import torch

from pruning_core.coupling.units import Units
from pruning_core.errors import PlanError
from pruning_core.granularities import Layout
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Change, Ranking


def competing(wishes: dict[str, LayerPlan], ranking: Ranking) -> dict[str, LayerPlan]:
    """Layers that share one budget: not locked, and not bound to small arenas of their own."""
    return {n: w for n, w in wishes.items() if not w.locked and ranking.layout(n, w).arena is None}


def compete(wishes: dict[str, LayerPlan], ranking: Ranking) -> list[Change]:
    """Rank the blocks of all layers together, by score per weight; the budget is the sum of the single wishes.

    Widths are rounded up to the plan's multiple of channels afterwards, so that less than the budget may go.
    """
    if not wishes:
        return []
    _check_comparable(wishes)
    layouts = {name: ranking.layout(name, wish) for name, wish in wishes.items()}
    budget = round(sum(wish.sparsity * _n_weights(layouts[name]) for name, wish in wishes.items()))
    keep = ranking.removed_up_to(wishes) > budget
    result = []
    parts = torch.split(keep, [layout.blocks_per_arena for layout in layouts.values()])
    for (name, wish), part in zip(wishes.items(), parts, strict=True):
        if not part.any() and 1.0 not in (layouts[name].steps or ()):
            raise PlanError(f"{name}: the model-wide ranking would remove all of it; lock it, or lower the sparsity")
        result.append(ranking.change_of(name, wish, ranking.fitted(name, wish, part.reshape(1, -1))))
    return result


def _check_comparable(wishes: dict[str, LayerPlan]) -> None:
    """Refuse layers that are scored by different criteria: their scores cannot be ranked together."""
    first, *others = wishes.items()
    for name, wish in others:
        if wish.criterion != first[1].criterion:
            raise PlanError(
                f"{name}: scope 'model' ranks all layers together, but it is scored by '{wish.criterion}' and "
                f"'{first[0]}' by '{first[1].criterion}'; choose one criterion, lock one of them, or use scope 'layer'"
            )


def _n_weights(layout: Layout | Units) -> int:
    """Weights that the blocks hold together."""
    return int(layout.block_sizes.sum()) * layout.n_arenas
