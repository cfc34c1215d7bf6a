"""Which cells a request asks for, and which layers are left out and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pruning_core.criteria import split_settings
from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking, cannot_go, why_not
from pruning_core.sensitivity.activations import why_not_activations
from pruning_core.sensitivity.request import Request


@dataclass(frozen=True)
class Scope:
    """The cells of a sweep, (layer, sparsity), in the model's order; `skipped` says which layers were left out."""

    levels: Mapping[str, tuple[float, ...]]  # layer -> sparsities, rising
    skipped: Mapping[str, str]

    @cached_property
    def cells(self) -> tuple[tuple[str, float], ...]:
        """All cells."""
        return tuple((name, level) for name, levels in self.levels.items() for level in levels)


def scope_of(model: Model, request: Request, ranking: Ranking) -> Scope:
    """Return what `request` asks for; one of several coupled layers stands for all of them.

    Raises `PlanError` where nothing is left to measure.
    """
    _check(request)
    names = [layer.name for layer in model.graph.layers] if request.layers is None else request.layers
    found: dict[str, tuple[float, ...]] = {}
    skipped: dict[str, str] = {}
    coupled: dict[str, str] = {}
    for name in dict.fromkeys(names):
        model.graph.layer(name)  # an unknown name is refused at once
        if name in coupled:
            skipped[name] = f"{name}: its channels are coupled with those of '{coupled[name]}', which stands for both"
            continue
        if request.target == "activations":
            if why := why_not_activations(model.graph, name):
                skipped[name] = f"{name}: {why}"
            else:
                found[name] = tuple(sorted(set(request.levels)))
            continue
        wishes, why = _wishes(name, request, ranking)
        if not wishes:
            skipped[name] = why
            continue
        found[name] = tuple(wish.sparsity for wish in wishes)
        if units := ranking.units(name, wishes[0]):
            coupled |= dict.fromkeys(units.members, name)
    if not all(found.values()):
        raise PlanError("no level was chosen; leave the levels out to sweep all")
    if not found:
        raise PlanError(next(iter(skipped.values()), "no layer was chosen; leave the layers out to sweep all"))
    return Scope(found, skipped)


def _check(request: Request) -> None:
    split_settings(request.granularity, request.criterion, request.settings)
    for level in request.levels:
        if not 0 < level < 1:
            raise PlanError(f"level {level:g} is outside 0 to 1")


def _wishes(name: str, request: Request, ranking: Ranking) -> tuple[tuple[LayerPlan, ...], str]:
    """Return what to measure of one layer, and why nothing fits if so."""
    if error := why_not(ranking, name, request.wish(0.0)):  # its scores included: bn_scale needs a batch norm
        return (), str(error)
    steps = ranking.layout(name, request.wish(0.0)).steps
    wishes = [request.wish(level) for level in sorted(set(request.levels if steps is None else steps[1:]))]
    refusals = [cannot_go(ranking, name, wish) for wish in wishes]
    fitting = tuple(wish for wish, refusal in zip(wishes, refusals, strict=True) if refusal is None)
    return fitting, next((refusal for refusal in refusals if refusal), "no level was chosen")
