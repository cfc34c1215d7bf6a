"""Data of the findings below the heatmap."""

from explorer.figures import escaping, words
from explorer.figures.interactions import PairGrid
from pruning_core.coupled import row_of
from pruning_core.plan import Plan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.additivity import Additivity
from pruning_core.sensitivity.correlation import Correlation
from pruning_core.sensitivity.hints import HINTS, HintWorth
from pruning_core.sensitivity.interactions import InteractionMap
from pruning_core.sensitivity.joint import Effect


def pruned_rows(plan: Plan, ranking: Ranking) -> list[str]:
    """Return the first layer of each row that the plan prunes."""
    found = {}
    for layer in ranking.model.graph.layers:
        wish = plan.layer(layer.name)
        if wish.sparsity > 0:
            found[row_of(layer.name, wish, ranking.under(plan))[0]] = None
    return list(found)


def sum_table(found: Additivity) -> list[dict[str, str]]:
    """Return the single changes, their sum and the measured one."""
    rows = [{"": escaping.markdown(name), "Change, pt": _points(effect)} for name, effect in found.singles.items()]
    rows.append({"": "**Sum of the single changes**", "Change, pt": f"**{_points(found.predicted)}**"})
    return [*rows, {"": "**Together, measured**", "Change, pt": f"**{_points(found.measured)}**"}]


def pair_grid(found: InteractionMap) -> PairGrid:
    """Return the pairs as the figure draws them."""
    place = {name: i for i, name in enumerate(found.layers)}
    beyond = {}
    for (one, other), pair in found.pairs.items():
        row, column = max(place[one], place[other]), min(place[one], place[other])
        low, high = pair.beyond.interval
        beyond[row, column] = (100 * pair.beyond.value, 100 * low, 100 * high)
    return PairGrid(found.layers, beyond)


def rank_table(scores: dict[str, dict[str, float]]) -> list[dict[str, str]]:
    """Return the layers, the worst by the first guess on top; a guess that tells no layers apart is left out."""
    telling = {name: by_layer for name, by_layer in scores.items() if len(set(by_layer.values())) > 1}
    first = next(iter(telling.values()), {})
    order = sorted(first, key=lambda layer: -first[layer])
    return [
        {"Layer": escaping.markdown(layer)}
        | {HINTS[name].label: f"{by_layer[layer]:.2g}" for name, by_layer in telling.items()}
        for layer in order
    ]


def guess_table(worth: tuple[HintWorth, ...]) -> list[dict[str, str]]:
    """Return what each guess was worth, over all cells and across the layers at the level where layers differ most."""
    rows = []
    for found in worth:
        levels = list(found.by_level)
        middle = levels[(2 * len(levels)) // 3] if levels else None
        row = {"Guess": HINTS[found.name].label, "All cells": _correlation(found.over_cells)}
        if middle is not None:
            row[f"Across layers at {words.percent(middle, 0)}"] = _correlation(found.by_level[middle])
        rows.append(row)
    return rows


def _correlation(found: Correlation) -> str:
    if found.value is None:
        return "ranks nothing"
    text = words.signed(found.value, 2)
    if found.interval is None:
        return f"{text}, n {found.n}"
    low, high = (words.signed(end, 2) for end in found.interval)
    return f"{text} ({low} to {high}), n {found.n}"


def _points(effect: Effect) -> str:
    low, high = effect.interval
    return f"{words.signed(100 * effect.value)} ± {words.rounded(50 * (high - low))}"
