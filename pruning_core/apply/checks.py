"""Whether a plan can be carried out, and which of its wishes are about the same coupled channels."""

from collections.abc import Mapping

from pruning_core.errors import PlanError, WrongModel
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking


def check(plan: Plan, model: Model, ranking: Ranking | None = None) -> None:
    """Refuse a plan of another model, unknown names, and wishes that do not fit, each in one sentence."""
    if plan.model.sha256 and plan.model.sha256 != model.sha256:
        raise WrongModel(
            f"the plan was made for '{plan.model.name}' with other weights than '{model.name}'; load that model, "
            "or remove the plan's model.sha256 to use it here on purpose"
        )
    ranking = (ranking or Ranking(model)).under(plan)
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
