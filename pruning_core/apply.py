"""From plan to masks to a masked copy of the model; the input model is never changed."""

from collections.abc import Iterable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from pruning_core.coupling.units import Units
from pruning_core.data import EvalData
from pruning_core.errors import PlanError, WrongModel
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.layers import tensor_at
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, ModelId, Plan
from pruning_core.ranking import Change, Ranking, why_not


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
    _check_groups({name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}, ranking)


def _check_groups(wishes: Mapping[str, LayerPlan], ranking: Ranking) -> None:
    """Refuse two different wishes for one group of coupled channels: it goes from all its layers or from none."""
    owner: dict[int, str] = {}
    for name, wish in wishes.items():
        units = ranking.units(name, wish)
        for group in [] if units is None else units.groups.tolist():
            other = owner.setdefault(group, name)
            if other != name and not _same(wish, wishes[other]):
                raise PlanError(
                    f"{name}: its channels are coupled with those of '{other}', which asks for "
                    f"{wishes[other].sparsity:g} by {wishes[other].granularity} and {wishes[other].criterion}; "
                    "give both the same wish, or name one of them only"
                )


def _same(a: LayerPlan, b: LayerPlan) -> bool:
    return a.model_copy(update={"locked": b.locked}) == b


def rows_of(wishes: Mapping[str, LayerPlan], ranking: Ranking) -> dict[str, LayerPlan]:
    """Return the wishes without those that only repeat the wish of a coupled layer before them."""
    seen: set[int] = set()
    found = {}
    for name, wish in wishes.items():
        units = ranking.units(name, wish)
        groups = set() if units is None else set(units.groups.tolist())
        if not groups & seen:
            found[name] = wish
        seen |= groups
    return found


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
    ranking = ranking or Ranking(model, data)
    wishes = _rows(model, plan, ranking)
    if not update:
        wishes = {name: wish.model_copy(update={"update_weights": False}) for name, wish in wishes.items()}
    shared = _competing(wishes, ranking) if plan.scope == "model" else {}
    parts = [ranking.change(name, wish) for name, wish in wishes.items() if name not in shared]
    parts += _compete(shared, ranking)
    masks = together([part.masks for part in parts])
    layers = [layer.name for layer in model.graph.layers if layer.name in masks]
    return Change(
        {name: masks[name] for name in dict.fromkeys([*layers, *masks])},
        summed(model, [part.values for part in parts]),
        frozenset().union(*(part.removed for part in parts)),
    )


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


def kept_weights(model: Model, plan: Plan, ranking: Ranking) -> dict[str, int]:
    """Return how many weights are kept of each layer that the plan asks to prune; from counts alone where possible."""
    wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
    if plan.scope == "model" or any(GRANULARITIES[wish.granularity].structure for wish in wishes.values()):
        layers, masks_by_name = model.graph.by_name, masks_for(model, plan, ranking=ranking)
        return {name: int(mask.sum()) for name, mask in masks_by_name.items() if name in layers}
    check(plan, model, ranking)
    return {name: ranking.n_kept_weights(name, wish) for name, wish in wishes.items()}


def masked_copy(
    model: Model, masks_by_name: Mapping[str, Tensor], values: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a copy of the module with new `values`, and with zeros where the masks keep nothing.

    Both are by layer (out, in, *kernel), or by parameter in its stored shape.
    """
    module, layers = deepcopy(model.module), model.graph.by_name
    for name, value in (values or {}).items():
        layer = layers.get(name)
        with torch.no_grad():
            tensor_at(module, layer.parameter if layer else name).copy_(layer.stored(value) if layer else value)
    for name, mask in masks_by_name.items():
        layer = layers.get(name)
        with torch.no_grad():
            tensor = tensor_at(module, layer.parameter if layer else name)
            tensor.masked_fill_(~(layer.stored(mask) if layer else mask), 0)
    return module


def apply(plan: Plan, model: Model, data: EvalData | None = None) -> nn.Module:
    """Return a masked copy of the model's module as the plan says; raises PlanError when it cannot be carried out."""
    change = changes_for(model, plan, data)
    return masked_copy(model, change.masks, change.values)


def _competing(wishes: dict[str, LayerPlan], ranking: Ranking) -> dict[str, LayerPlan]:
    """Layers that share one budget: not locked, and not bound to small arenas of their own."""
    return {n: w for n, w in wishes.items() if not w.locked and ranking.layout(n, w).arena is None}


def _compete(wishes: dict[str, LayerPlan], ranking: Ranking) -> list[Change]:
    """Rank the blocks of all layers together, by score per weight; the budget is the sum of the single wishes."""
    if not wishes:
        return []
    _check_comparable(wishes)
    layouts = {name: ranking.layout(name, wish) for name, wish in wishes.items()}
    budget = round(sum(wish.sparsity * _n_weights(layouts[name]) for name, wish in wishes.items()))
    keep = ranking.removed_up_to(wishes) > budget
    result = []
    parts = torch.split(keep, [layout.blocks_per_arena for layout in layouts.values()])
    for (name, wish), part in zip(wishes.items(), parts, strict=True):
        if not part.any():
            raise PlanError(f"{name}: the model-wide ranking would remove all of it; lock it, or lower the sparsity")
        result.append(ranking.change_of(name, wish, part.reshape(1, -1)))
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
