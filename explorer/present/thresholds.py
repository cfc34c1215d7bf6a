"""What a threshold would remove: the plan that a selection makes of one number."""

import torch

import pruning_core as pc
from explorer.present.fit import basis
from pruning_core.apply import rows_of
from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import refuses
from pruning_core.selection import per_weight, select


def wishes(bench: pc.Workbench, plan: Plan) -> dict[str, LayerPlan]:
    """Return the wishes that a selection changes: one for each row, and those of locked rows."""
    every = {layer.name: plan.layer(layer.name) for layer in bench.model.graph.layers}
    fitting = {
        n: w for n, w in every.items() if refuses(bench.ranking, n, w.model_copy(update={"sparsity": 0.0})) is None
    }
    if not fitting:
        raise PlanError(f"'{bench.model.name}' has no layer that can be pruned as the plan wishes")
    return rows_of(fitting, bench.ranking)


def selected(bench: pc.Workbench, plan: Plan, name: str, value: float) -> Plan:
    """Return the plan in which the selection `name` gives every free row its sparsity."""
    chosen = select(name, bench.ranking, wishes(bench, plan), value)
    dense = basis(plan)
    return dense.model_copy(update={"layers": dense.layers | chosen})


def score_range(bench: pc.Workbench, plan: Plan) -> tuple[float, float, float] | None:
    """Return the least, the middle and the largest score per weight of the free rows; None where they have none."""
    free = {name: wish for name, wish in wishes(bench, plan).items() if not wish.locked}
    try:
        parts = [per_weight(bench.ranking, name, wish) for name, wish in free.items()]
    except pc.PruningError:
        return None
    if not parts:
        return None
    scores = torch.cat(parts)
    return float(scores.min()), float(scores.median()), float(scores.max())


def _fits(bench: pc.Workbench, name: str, wish: LayerPlan) -> bool:
    return refuses(bench.ranking, name, wish.model_copy(update={"sparsity": 0.0})) is None
