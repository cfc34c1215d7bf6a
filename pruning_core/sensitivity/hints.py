"""SEAM hints: how much a cell may hurt, guessed without data, and what such a guess was worth once it was measured.

A hint is a function `(removal) -> score`, larger where more harm is expected. Adding one: a function here with
`@hint(...)`. Hints only rank: no score is an accuracy, and no figure of a sweep is made of them. What they are worth is
their rank correlation with the measured harm; `sparsity` knows no model at all, so a hint below it knows nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import DataError
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.registry import Registry
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.correlation import Correlation, spearman
from pruning_core.sensitivity.estimates import kl_of, rise_of
from pruning_core.sensitivity.request import Request
from pruning_core.sensitivity.scope import scope_of

Key = tuple[str, float]  # layer, sparsity
POWER_STEPS = 20  # the norm is then about 1 % too small, for the removed part and the whole alike


@dataclass(frozen=True)
class Removal:
    """What one cell removes: weights of a layer, and of the layers that lose the same channels."""

    weights: Mapping[str, Tensor]  # layer -> (out, in, *kernel), as in the model
    masks: Mapping[str, Tensor]  # layer -> bool of the same shape, True = kept
    sparsity: float  # asked for
    params: int  # of the whole model

    @property
    def n_removed(self) -> int:
        """Weights that go."""
        return sum(int((~mask).sum()) for mask in self.masks.values())


@dataclass(frozen=True)
class Hint:
    """One member of the seam; calling it scores a cell."""

    name: str
    label: str
    function: Callable[[Removal], float]

    @property
    def doc(self) -> str:
        """The first line of the member's docstring: what it is, and its source."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def __call__(self, removal: Removal) -> float:
        """Return the score; larger where more harm is expected."""
        return self.function(removal)


HINTS: Registry[Hint] = Registry("hint")


def hint(name: str, label: str) -> Callable[[Callable[[Removal], float]], Callable[[Removal], float]]:
    """Add a scoring function to the seam."""

    def add(function: Callable[[Removal], float]) -> Callable[[Removal], float]:
        HINTS.add(name, Hint(name, label, function))
        return function

    return add


@hint("weight_energy", label="Removed weight energy")
def weight_energy(removal: Removal) -> float:
    """||removed||^2 / ||weight||^2, the distortion of one layer in LAMP (Lee et al. 2021, arXiv:2010.07611)."""
    pairs = [(weight.double(), removal.masks[name]) for name, weight in removal.weights.items()]
    total = sum(float(weight.square().sum()) for weight, _ in pairs)
    return sum(float((weight * ~mask).square().sum()) for weight, mask in pairs) / total if total else 0.0


@hint("spectral", label="Largest change of an output")
def spectral(removal: Removal) -> float:
    """Largest singular value, removed / whole: what an output may change (Liebenwein et al. 2021, arXiv:2107.11442)."""
    norms = [(_norm(weight * ~removal.masks[name]), _norm(weight)) for name, weight in removal.weights.items()]
    return max((removed / whole for removed, whole in norms if whole), default=0.0)


@hint("params_share", label="Share of the model's parameters")
def params_share(removal: Removal) -> float:
    """Removed weights as a share of all parameters, as if each weight mattered alike."""
    return removal.n_removed / removal.params


@hint("sparsity", label="Sparsity alone")
def sparsity(removal: Removal) -> float:
    """The sparsity asked for, of whatever layer: what any other hint has to beat."""
    return removal.sparsity


def _norm(weight: Tensor) -> float:
    """Return about the largest singular value of a weight as the matrix (out, in * kernel), by power iteration."""
    matrix = weight.flatten(1).float()
    vector = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0))
    for _ in range(POWER_STEPS):
        vector = F.normalize(matrix.T @ (matrix @ vector), dim=0)
    return float((matrix @ vector).norm())


@dataclass(frozen=True)
class HintWorth:
    """What a hint was worth: Spearman's correlation of its scores with what was measured, `what`."""

    name: str
    what: str
    scores: dict[Key, float]
    over_cells: Correlation
    by_level: dict[float, Correlation] = field(default_factory=dict)  # across the layers measured at one sparsity


def worth_of(name: str, sweep: Sweep, ranking: Ranking) -> HintWorth:
    """Score the cells of a sweep by the hint `name` and compare with the loss rise; with the KL without labels.

    `ranking` is of the model that was swept.
    """
    harm, what = _harm(sweep.cells)
    scores = scores_of(name, sweep, ranking)
    levels = sorted({level for _, level in scores})
    rows = {level: [key for key in scores if key[1] == level] for level in levels}
    return HintWorth(
        name,
        what,
        scores,
        _correlation(scores, harm, list(scores)),
        {level: _correlation(scores, harm, keys) for level, keys in rows.items() if len(keys) > 1},
    )


def scores_of(name: str, sweep: Sweep, ranking: Ranking) -> dict[Key, float]:
    """Return the score of each cell of a sweep by the hint `name`."""
    member = HINTS[name]
    if sweep.target != "weights":
        raise DataError(f"this sweep drops {sweep.target}; hints score weights that are removed")
    if sweep.granularity == "mixed" or sweep.criterion == "mixed":
        raise DataError("layers of this sweep are cut in different ways; hints compare cells that are cut alike")
    ranking = ranking.under(Plan(**sweep.options))
    how: dict[str, Any] = {"granularity": sweep.granularity, "criterion": sweep.criterion, "settings": sweep.settings}
    keys = [(cell.layer, cell.sparsity) for cell in sweep.cells]
    return {key: member(_removal(key[0], LayerPlan(sparsity=key[1], **how), ranking)) for key in keys}


def guesses_at(level: float, request: Request, ranking: Ranking) -> dict[str, dict[str, float]]:
    """Return the score of each layer at about one level, by hint, before anything is measured.

    A layer that has no such level stands with its nearest; one that cannot be pruned in this way is left out.
    """
    ranking = ranking.under(request)
    levels = scope_of(ranking.model, request, ranking).levels
    wishes = {name: request.wish(min(at, key=lambda one: abs(one - level))) for name, at in levels.items()}
    removals = {name: _removal(name, wish, ranking) for name, wish in wishes.items()}
    return {member.name: {name: member(removal) for name, removal in removals.items()} for member in HINTS.values()}


def _removal(layer: str, wish: LayerPlan, ranking: Ranking) -> Removal:
    graph, units, masks = ranking.model.graph, ranking.units(layer, wish), ranking.masks(layer, wish)
    members = [name for name in ((layer,) if units is None else units.members) if name in masks]
    weights = {name: graph.weight(name) for name in members}
    return Removal(weights, {name: masks[name] for name in members}, wish.sparsity, graph.params)


def _harm(cells: tuple[Cell, ...]) -> tuple[dict[Key, float], str]:
    """Return what was measured of each cell, and its name."""
    labelled = all(cell.tally.labelled for cell in cells)
    of = rise_of if labelled else kl_of
    sizes = {(cell.layer, cell.sparsity): cell.sizes or tuple(tally.n for tally in cell.strata) for cell in cells}
    harm = {key: of(cell.strata, sizes[key]).value for key, cell in zip(sizes, cells, strict=True)}
    return harm, "loss rise" if labelled else "KL divergence from dense"


def _correlation(scores: Mapping[Key, float], harm: Mapping[Key, float], keys: list[Key]) -> Correlation:
    n_layers = len({layer for layer, _ in keys})
    return spearman([scores[key] for key in keys], [harm[key] for key in keys], n_layers)
