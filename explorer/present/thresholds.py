"""What a threshold would remove: the plan that a selection makes of one number."""

from functools import lru_cache

import torch

import pruning_core as pc
from explorer.present.fit import basis
from pruning_core.apply import rows_of
from pruning_core.coupled import row_of
from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking, refuses
from pruning_core.selection import per_weight, select


def wishes(ranking: Ranking, plan: Plan) -> dict[str, LayerPlan]:
    """Return the wishes that a selection reads: one for each row; a row that holds a locked layer stays out."""
    every = {layer.name: plan.layer(layer.name) for layer in ranking.model.graph.layers}
    fitting = {name: wish for name, wish in every.items() if _fits(ranking, name, wish)}
    if not fitting:
        raise PlanError(f"'{ranking.model.name}' has no layer that can be pruned as the plan wishes")
    rows = rows_of(fitting, ranking)
    return {name: wish for name, wish in rows.items() if wish.locked or not _holds_locked(ranking, name, plan)}


def _fits(ranking: Ranking, name: str, wish: LayerPlan) -> bool:
    return refuses(ranking, name, wish.model_copy(update={"sparsity": 0.0})) is None


def _holds_locked(ranking: Ranking, name: str, plan: Plan) -> bool:
    return any(plan.layer(member).locked for member in row_of(name, plan.layer(name), ranking))


def selected(bench: pc.Workbench, plan: Plan, name: str, value: float) -> Plan:
    """Return the plan in which the selection `name` gives every free row its sparsity."""
    return _selected(bench.ranking, plan.to_json(), name, value)


@lru_cache(maxsize=8)  # all layers of a large model take seconds to rank together, and a dialog is drawn often
def _selected(ranking: Ranking, document: str, name: str, value: float) -> Plan:
    plan = Plan.from_json(document)
    dense = basis(plan)
    return dense.model_copy(update={"layers": dense.layers | select(name, ranking, wishes(ranking, plan), value)})


def score_range(bench: pc.Workbench, plan: Plan) -> tuple[float, float, float] | None:
    """Return the least, the middle and the largest score per weight of the free rows; None where they have none."""
    free = {name: wish for name, wish in wishes(bench.ranking, plan).items() if not wish.locked}
    try:
        parts = [per_weight(bench.ranking, name, wish) for name, wish in free.items()]
    except pc.PruningError:
        return None
    if not parts:
        return None
    scores = torch.cat(parts)
    return float(scores.min()), float(scores.median()), float(scores.max())
