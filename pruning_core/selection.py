"""SEAM selections: how a number becomes the sparsity of every layer, so that ranks give exactly the mask it means.

A selection is a function `(ranking, wishes, *, one setting) -> sparsity of each layer`. Masks are made by rank: the
weakest round(sparsity x n) of a layer's n blocks go. A threshold that k blocks lie below therefore is the sparsity
k / n. Equal scores lie on one side of a threshold together; only where a budget ends among equals (`sparsity`,
`global_threshold`) the order decides: later ones go first, in the layer and from layer to layer.
Adding one: write the function, decorate it with `@selection(...)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from pruning_core.apply import rows_of, uniform_plan
from pruning_core.errors import CriterionError, GranularityError, PlanError
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.registry import Registry, Setting, SettingSpec, settings_of

Wishes = Mapping[str, LayerPlan]
SelectionFunction = Callable[..., dict[str, float]]
ROOTS: dict[str, float] = {"l1": 1, "l2": 0.5}  # the power that makes a magnitude of a score per weight, by criterion


@dataclass(frozen=True)
class Selection:
    """One member of the seam; `value` is the number it takes, in `unit`."""

    name: str
    label: str
    unit: str
    function: SelectionFunction
    value: SettingSpec

    @property
    def settings(self) -> dict[str, SettingSpec]:
        """The number by its name, as other seams have their settings."""
        return {self.value.name: self.value}

    @property
    def doc(self) -> str:
        """The first line of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()


SELECTIONS: Registry[Selection] = Registry("selection")


def selection(name: str, *, label: str, unit: str) -> Callable[[SelectionFunction], SelectionFunction]:
    """Add a function to the seam; its one keyword is the number that the user sets."""

    def add(function: SelectionFunction) -> SelectionFunction:
        (value,) = settings_of(function).values()
        SELECTIONS.add(name, Selection(name, label, unit, function, value))
        return function

    return add


def select(name: str, ranking: Ranking, wishes: Wishes, value: float) -> dict[str, LayerPlan]:
    """Return `wishes` with the sparsity that `value` means for each; locked ones stay as they are.

    A layer that would be emptied, or has no such sparsity, is refused by name.
    """
    member = SELECTIONS[name]
    number = member.value.check(value)
    free = {layer: wish for layer, wish in wishes.items() if not wish.locked}
    found = member.function(ranking, free, **{member.value.name: number})
    chosen = {layer: wish.model_copy(update={"sparsity": found[layer]}) for layer, wish in free.items()}
    for layer, wish in chosen.items():
        ranking.n_keep(layer, wish)
    return {layer: chosen.get(layer, wish) for layer, wish in wishes.items()}


def selected_plan(name: str, ranking: Ranking, wish: LayerPlan, value: float) -> tuple[Plan, dict[str, str]]:
    """Return the plan that a selection makes of `wish` for all rows of layers, and why each other layer stays dense."""
    plan, why_dense = uniform_plan(ranking.model, wish.model_copy(update={"sparsity": 0.0}), ranking=ranking)
    chosen = select(name, ranking, rows_of(plan.layers, ranking), value)
    untouched = [layer for layer, found in chosen.items() if found.sparsity == 0]
    why_dense |= dict.fromkeys(untouched, f"none of its blocks is chosen by {name} {value:g}")
    layers = {layer: found for layer, found in chosen.items() if found.sparsity > 0}
    return plan.model_copy(update={"layers": layers}), why_dense


@selection("sparsity", label="Sparsity", unit="share removed")
def by_sparsity(
    ranking: Ranking, wishes: Wishes, *, sparsity: Annotated[float, Setting(0, 1, 0.01)] = 0.5
) -> dict[str, float]:
    """The same share of every layer, the weakest in it (Zhu and Gupta 2017, arXiv:1710.01878)."""
    return dict.fromkeys(wishes, sparsity)


@selection("threshold", label="Threshold", unit="score per weight")
def by_threshold(
    ranking: Ranking, wishes: Wishes, *, threshold: Annotated[float, Setting(-1e9, 1e9, 0.001)] = 0.01
) -> dict[str, float]:
    """Blocks whose score per weight lies below one number for all layers (Han et al. 2015, arXiv:1506.02626)."""
    scores = {name: per_weight(ranking, name, wish) for name, wish in wishes.items()}
    return {name: _share_below(ranking, name, wish, scores[name], threshold) for name, wish in wishes.items()}


@selection("standard_deviations", label="Standard deviations", unit="σ of the layer's weight")
def by_standard_deviations(
    ranking: Ranking, wishes: Wishes, *, deviations: Annotated[float, Setting(0, 100, 0.05)] = 0.5
) -> dict[str, float]:
    """Weights below s standard deviations of their layer's weight (Han et al. 2015, arXiv:1506.02626).

    The deviation is that of a sample (n - 1), as in Distiller; a block counts with its mean magnitude (l1) or the root
    of its mean square (l2). Coupled layers are one: their channels go by one threshold, so the deviation is that of all
    their weights together.
    """
    found = {}
    for name, wish in wishes.items():
        if wish.criterion not in ROOTS:
            raise CriterionError(f"{name}: standard deviations bound magnitudes, not {wish.criterion}; l1 and l2 work")
        magnitudes = per_weight(ranking, name, wish) ** ROOTS[wish.criterion]
        found[name] = _share_below(ranking, name, wish, magnitudes, deviations * _deviation(ranking, name, wish))
    return found


@selection("global_threshold", label="Global threshold", unit="share removed of all")
def by_global_threshold(
    ranking: Ranking, wishes: Wishes, *, sparsity: Annotated[float, Setting(0, 1, 0.01)] = 0.5
) -> dict[str, float]:
    """One threshold for all layers, where it removes a share of them together (Blalock et al. 2020, arXiv:2003.03033).

    Blocks go from the weakest score per weight on, as long as the share is not exceeded.
    """
    if not wishes:
        return {}
    check_comparable(wishes)
    scores = {name: per_weight(ranking, name, wish) for name, wish in wishes.items()}
    sizes = torch.cat([ranking.layout(name, wish).block_sizes for name, wish in wishes.items()])
    weakest_first = torch.sort(torch.cat(list(scores.values())), descending=True, stable=True).indices.flip(0)
    goes = torch.empty_like(sizes, dtype=torch.bool)
    goes[weakest_first] = sizes[weakest_first].cumsum(0) <= round(sparsity * int(sizes.sum()))
    parts = torch.split(goes, [len(values) for values in scores.values()])
    for name, part in zip(scores, parts, strict=True):
        if part.all() and not _may_go(ranking, name, wishes[name]):
            raise PlanError(f"{name}: a common threshold would remove all of it; lock it, or lower the sparsity")
    return {name: int(part.sum()) / len(part) for name, part in zip(scores, parts, strict=True)}


def per_weight(ranking: Ranking, name: str, wish: LayerPlan) -> Tensor:
    """Return the score per weight of each block of layer `name`, (blocks,) float64 on the CPU, ordered as its ranks.

    Units of coupled channels are all divided by the mean size of their slices, so that the order stays. Small arenas
    are refused: each must lose the same count, which no threshold gives.
    """
    layout = ranking.layout(name, wish)
    if layout.arena is not None or layout.n_arenas > 1:
        label = GRANULARITIES[wish.granularity].label_of(**wish.settings)
        raise GranularityError(
            f"{name}: {label} removes the same count from every {layout.blocks_per_arena}, so no threshold fits; "
            "select it by sparsity"
        )
    return ranking.scores(name, wish).flatten().double().cpu() / layout.weights_per_score


def _deviation(ranking: Ranking, name: str, wish: LayerPlan) -> float:
    """Return the standard deviation of the weights that the wish cuts, 0 of a single one."""
    units = ranking.units(name, wish)
    members = (name,) if units is None else units.members
    weights = torch.cat([ranking.model.graph.weight(member).float().flatten() for member in members])
    return weights.std(correction=min(1, weights.numel() - 1)).item()


def _may_go(ranking: Ranking, name: str, wish: LayerPlan) -> bool:
    """Whether all of it may be removed, as a residual branch may."""
    return 1.0 in (ranking.layout(name, wish).steps or ())


def _share_below(ranking: Ranking, name: str, wish: LayerPlan, scores: Tensor, bound: float) -> float:
    """Return the share of `scores` below `bound`; all of them are refused where the layer would be emptied."""
    n_below, n = int((scores < bound).sum()), len(scores)
    if n_below == n and not _may_go(ranking, name, wish):
        raise PlanError(
            f"{name}: the threshold {bound:.4g} would remove all {n} blocks; at most {scores.max():.4g} keeps some"
        )
    return n_below / n


def check_comparable(wishes: Wishes) -> None:
    """Refuse layers that are scored by different criteria: their scores have no common threshold."""
    first, *others = wishes.items()
    for name, wish in others:
        if wish.criterion != first[1].criterion:
            raise PlanError(
                f"{name}: one threshold for all needs one criterion, but it is scored by '{wish.criterion}' and "
                f"'{first[0]}' by '{first[1].criterion}'; choose one, or lock one of them"
            )
