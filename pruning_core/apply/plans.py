"""Plans to start from: an empty one, and one with the same wish for all layers that it fits."""

from collections.abc import Mapping

from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, ModelId, Plan, options_of
from pruning_core.ranking import Ranking, why_not


def plan_for(model: Model, **fields: object) -> Plan:
    """Return an empty plan made for `model`."""
    return Plan(model=ModelId(name=model.name, sha256=model.sha256), **fields)  # type: ignore[arg-type]


def uniform_plan(
    model: Model,
    wish: LayerPlan,
    scope: str = "layer",
    ranking: Ranking | None = None,
    ways: Mapping[str, LayerPlan] | None = None,
) -> tuple[Plan, dict[str, str]]:
    """Return a plan with the same wish for every layer that it fits, and why each other layer stays dense.

    `ways` are the wishes of layers that are cut or scored in another way. The options are those of `ranking`.
    """
    ranking = ranking or Ranking(model)
    if not model.graph.layers:
        raise PlanError(f"'{model.name}' has no prunable layer")
    wishes = {layer.name: (ways or {}).get(layer.name, wish) for layer in model.graph.layers}
    refusals = {name: why_not(ranking, name, asked) for name, asked in wishes.items()}
    why_dense = {name: str(error) for name, error in refusals.items() if error}
    if len(why_dense) == len(refusals):
        raise next(error for error in refusals.values() if error)
    fitting = {name: wishes[name].model_dump() for name, error in refusals.items() if not error}
    return plan_for(model, scope=scope, **options_of(ranking)).with_layers(fitting), why_dense
