"""From plan to masks and new values, each row of coupled layers once."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from pruning_core.apply.checks import check, rows_of
from pruning_core.apply.compete import compete, competing
from pruning_core.data import EvalData
from pruning_core.granularities import GRANULARITIES
from pruning_core.layers import tensor_at
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Change, Ranking


def masks_for(
    model: Model, plan: Plan, data: EvalData | None = None, ranking: Ranking | None = None
) -> dict[str, Tensor]:
    """Return the masks of all that loses something; `data` calibrates criteria.

    By layer (out, in, *kernel), in the model's order, then by parameter in its stored shape: biases and norms.
    """
    return changes_for(model, plan, data, ranking, update=False).masks


def changes_for(
    model: Model, plan: Plan, data: EvalData | None = None, ranking: Ranking | None = None, *, update: bool = True
) -> Change:
    """Return all that a plan does; with `update` also the new values that criteria such as sparsegpt give."""
    ranking = (ranking or Ranking(model, data)).under(plan)
    return joined(changes_by_row(model, plan, ranking, update=update).values(), ranking)


def changes_by_row(model: Model, plan: Plan, ranking: Ranking, *, update: bool = True) -> dict[str, Change]:
    """Return what each row of a plan does by itself, by the first of its layers; `ranking` is under the plan.

    Rows that share the budget of scope "model" lose here what they lose in the whole plan.
    """
    wishes = _rows(model, plan, ranking)
    if not update:
        wishes = {name: wish.model_copy(update={"update_weights": False}) for name, wish in wishes.items()}
    shared = competing(wishes, ranking) if plan.scope == "model" else {}
    alone = {name: ranking.change(name, wish) for name, wish in wishes.items() if name not in shared}
    return alone | dict(zip(shared, compete(shared, ranking), strict=True))


def joined(changes: Iterable[Change], ranking: Ranking) -> Change:
    """Return what several rows do together."""
    model, parts = ranking.model, list(changes)
    masks = together([part.masks for part in parts])
    layers = [layer.name for layer in model.graph.layers if layer.name in masks]
    removed = frozenset[int]().union(*(part.removed for part in parts))
    return Change(
        {name: masks[name] for name in dict.fromkeys([*layers, *masks])},
        summed(model, [part.values for part in parts]) | ranking.rows.values_without(removed),  # skipped is skipped
        removed,
    )


def _rows(model: Model, plan: Plan, ranking: Ranking) -> dict[str, LayerPlan]:
    """Return the wishes that remove something, in the model's order, so that ties do not depend on that of edits."""
    check(plan, model, ranking)
    in_order = [layer.name for layer in model.graph.layers if layer.name in plan.layers]
    return rows_of({name: plan.layers[name] for name in in_order if plan.layers[name].sparsity > 0}, ranking)


def together(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the masks that keep what every part keeps."""
    result: dict[str, Tensor] = {}
    for part in parts:
        for name, mask in part.items():
            result[name] = result[name] & mask if name in result else mask
    return result


def summed(model: Model, parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return new values in which the differences that several wishes make to one tensor add up."""
    result: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            result[name] = result[name] + value - _own(model, name) if name in result else value
    return result


def _own(model: Model, name: str) -> Tensor:
    graph = model.graph
    return graph.weight(name) if name in graph.by_name else tensor_at(graph.module, name).detach()


def kept_weights(model: Model, plan: Plan, ranking: Ranking) -> dict[str, int]:
    """Return how many weights are kept of each layer that the plan asks to prune; from counts alone where possible."""
    wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
    if plan.scope == "model" or any(GRANULARITIES[wish.granularity].structure for wish in wishes.values()):
        layers, masks_by_name = model.graph.by_name, masks_for(model, plan, ranking=ranking)
        return {name: int(mask.sum()) for name, mask in masks_by_name.items() if name in layers}
    ranking = ranking.under(plan)
    check(plan, model, ranking)
    return {name: ranking.n_kept_weights(name, wish) for name, wish in wishes.items()}
