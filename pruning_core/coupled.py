"""Layers that lose the same channels are edited as one row: a wish for what they share stands on each of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking

Changes = Mapping[str, Mapping[str, Any]]


def row_of(name: str, wish: LayerPlan, ranking: Ranking) -> tuple[str, ...]:
    """Return the layers that lose something when `wish` prunes layer `name`, itself alone where nothing is coupled."""
    units = ranking.units(name, wish)
    return (name,) if units is None else units.members


def edited(plan: Plan, changes: Changes, ranking: Ranking) -> Plan:
    """Return `plan` with changes to some layers; the layers of a row follow, into the row and out of it.

    Where changes give the members of one row different sparsities, all take the smallest. A layer cannot draw in a
    locked one: refused.
    """
    ranking = ranking.under(plan)
    wanted = plan.with_layers({name: dict(fields) for name, fields in changes.items()})
    for name in changes:
        wish = wanted.layer(name)
        followers = {*row_of(name, plan.layer(name), ranking), *row_of(name, wish, ranking)} - {name}
        _check_locks(name, followers - changes.keys(), plan)
        row = [wanted.layer(member) for member in row_of(name, wish, ranking) if member in changes]
        least = min((other.sparsity for other in row), default=wish.sparsity)
        fields = wish.model_dump() | {"sparsity": least}
        wanted = wanted.with_layers(dict.fromkeys([name, *(followers - changes.keys())], fields))
    return wanted


def spread(plan: Plan, ranking: Ranking) -> Plan:
    """Return `plan` with each wish for shared channels written on all layers of its row that are dense yet."""
    layers, ranking = dict(plan.layers), ranking.under(plan)
    for name in ranking.model.graph.by_name:
        wish = plan.layer(name)
        for member in row_of(name, wish, ranking) if wish.sparsity > 0 else ():
            if layers.get(member, LayerPlan()).sparsity == 0:
                layers[member] = wish
    return plan.model_copy(update={"layers": layers})


def _check_locks(name: str, followers: Iterable[str], plan: Plan) -> None:
    for other in sorted(followers):
        if plan.layer(other).locked and not plan.layer(name).locked:
            raise PlanError(f"{name}: it shares channels with '{other}', which is locked; unlock that first")
