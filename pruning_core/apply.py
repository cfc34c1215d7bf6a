"""From plan to masks to a masked copy of the model; the input model is never changed."""

from copy import deepcopy
from math import prod

import torch
from torch import Tensor, nn

from pruning_core import masks
from pruning_core.data import EvalData
from pruning_core.errors import PlanError, WrongModel
from pruning_core.layers import tensor_at
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, ModelId, Plan
from pruning_core.ranking import Ranking, why_not


def plan_for(model: Model, **fields: object) -> Plan:
    """Return an empty plan made for `model`."""
    return Plan(model=ModelId(name=model.name, sha256=model.sha256), **fields)  # type: ignore[arg-type]


def uniform_plan(
    model: Model, wish: LayerPlan, scope: str = "layer", ranking: Ranking | None = None
) -> tuple[Plan, dict[str, str]]:
    """Return a plan with the same wish for every layer that it fits, and why each other layer stays dense."""
    ranking = ranking or Ranking(model)
    if not model.graph.layers:
        raise PlanError(f"'{model.name}' has no prunable layer")
    refusals = {layer.name: why_not(ranking, layer.name, wish) for layer in model.graph.layers}
    why_dense = {name: str(error) for name, error in refusals.items() if error}
    if len(why_dense) == len(refusals):
        raise next(error for error in refusals.values() if error)
    fitting = {name: wish.model_dump() for name, error in refusals.items() if not error}
    return plan_for(model, scope=scope).with_layers(fitting), why_dense


def check(plan: Plan, model: Model, ranking: Ranking | None = None) -> None:
    """Refuse a plan of another model, unknown names, and wishes that do not fit, each in one sentence."""
    if plan.model.sha256 and plan.model.sha256 != model.sha256:
        raise WrongModel(
            f"the plan was made for '{plan.model.name}' with other weights than '{model.name}'; load that model, "
            "or remove the plan's model.sha256 to use it here on purpose"
        )
    ranking = ranking or Ranking(model)
    for name, wish in plan.layers.items():
        ranking.n_keep(name, wish)


def masks_for(
    model: Model, plan: Plan, data: EvalData | None = None, ranking: Ranking | None = None
) -> dict[str, Tensor]:
    """Return the mask (out, in, *kernel) of every layer that loses something; `data` calibrates criteria."""
    ranking = ranking or Ranking(model, data)
    check(plan, model, ranking)
    # in the model's order, so that ties do not depend on the order of edits
    in_order = [layer.name for layer in model.graph.layers if layer.name in plan.layers]
    wishes = {name: plan.layers[name] for name in in_order if plan.layers[name].sparsity > 0}
    shared = _competing(wishes, ranking) if plan.scope == "model" else {}
    result = {name: ranking.mask(name, wish) for name, wish in wishes.items() if name not in shared}
    result |= _compete(shared, ranking)
    return {layer.name: result[layer.name] for layer in model.graph.layers if layer.name in result}


def kept_weights(model: Model, plan: Plan, ranking: Ranking) -> dict[str, int]:
    """Return how many weights are kept of each layer that the plan asks to prune; from counts alone where possible."""
    if plan.scope == "model":
        return {name: int(mask.sum()) for name, mask in masks_for(model, plan, ranking=ranking).items()}
    check(plan, model, ranking)
    return {name: ranking.n_kept_weights(name, wish) for name, wish in plan.layers.items() if wish.sparsity > 0}


def masked_copy(model: Model, masks_by_layer: dict[str, Tensor]) -> nn.Module:
    """Return a copy of the module with masked weights set to zero."""
    module = deepcopy(model.module)
    for name, mask in masks_by_layer.items():
        layer = model.graph.layer(name)
        weight = tensor_at(module, layer.parameter)
        with torch.no_grad():
            weight.masked_fill_(~layer.stored(mask), 0)
    return module


def apply(plan: Plan, model: Model, data: EvalData | None = None) -> nn.Module:
    """Return a masked copy of the model's module as the plan says; raises PlanError when it cannot be carried out."""
    return masked_copy(model, masks_for(model, plan, data))


def _competing(wishes: dict[str, LayerPlan], ranking: Ranking) -> dict[str, LayerPlan]:
    """Layers that share one budget: not locked, and not bound to small arenas of their own."""
    return {n: w for n, w in wishes.items() if not w.locked and ranking.layout(n, w).arena is None}


def _compete(wishes: dict[str, LayerPlan], ranking: Ranking) -> dict[str, Tensor]:
    """Rank the blocks of all layers together, by score per weight; the budget is the sum of the single wishes."""
    if not wishes:
        return {}
    _check_comparable(wishes)
    layouts = {name: ranking.layout(name, wish) for name, wish in wishes.items()}
    budget = round(sum(wish.sparsity * prod(layouts[name].view) for name, wish in wishes.items()))
    keep = ranking.removed_up_to(wishes) > budget
    result = {}
    parts = torch.split(keep, [layout.blocks_per_arena for layout in layouts.values()])
    for (name, layout), part in zip(layouts.items(), parts, strict=True):
        if not part.any():
            raise PlanError(f"{name}: the model-wide ranking would remove all of it; lock it, or lower the sparsity")
        result[name] = masks.expand(part.reshape(1, -1), layout)
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
