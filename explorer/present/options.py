"""From menus to wishes and back: a granularity with its settings is one value of a menu."""

from collections.abc import Mapping
from typing import Any

import pruning_core as pc
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan, Plan, PlanOptions
from pruning_core.ranking import Ranking

MULTIPLES = (1, 2, 4, 8, 16, 32)
HEADS = {"head": "whole heads", "dimension": "dimensions inside all heads"}


def option_value(granularity: str, settings: dict[str, Any]) -> str:
    """Return the menu's value for a granularity with its settings: `n_m?m=4&n=2`."""
    text = "&".join(f"{key}={value}" for key, value in sorted(settings.items()))
    return f"{granularity}?{text}" if text else granularity


def from_option(value: str) -> tuple[str, dict[str, Any]]:
    """Undo `option_value`."""
    name, _, text = value.partition("?")
    pairs = (pair.split("=", 1) for pair in text.split("&") if pair)
    return name, {key: int(number) if number.lstrip("-").isdigit() else number for key, number in pairs}


def granularity_settings(wish: LayerPlan) -> dict[str, Any]:
    """Return the settings of the wish's granularity, defaults filled in, so that equal ones look equal."""
    specs = GRANULARITIES[wish.granularity].settings
    return {name: wish.settings.get(name, spec.default) for name, spec in specs.items() if not spec.choices} | {
        name: wish.settings[name]
        for name, spec in specs.items()
        if spec.choices and wish.settings.get(name, spec.default) != spec.default
    }


def criterion_settings(wish: LayerPlan) -> dict[str, Any]:
    """Return the settings that belong to the wish's criterion."""
    return {name: value for name, value in wish.settings.items() if name in CRITERIA[wish.criterion].settings}


def request_for(wish: LayerPlan, plan: PlanOptions, **fields: Any) -> pc.Request:
    """Return the request that would measure a layer pruned in the way of `wish`, under the options of `plan`."""
    settings = granularity_settings(wish) | criterion_settings(wish)
    if GRANULARITIES[wish.granularity].structure:  # options say which channels go together: nothing to single weights
        fields |= {name: getattr(plan, name) for name in ("channel_multiple", "through_norms", "heads")}
    return pc.Request(granularity=wish.granularity, criterion=wish.criterion, settings=settings, **fields)


def wishes(changes: Mapping[str, Mapping[str, Any]], plan: Plan, ranking: Ranking) -> dict[str, dict[str, Any]]:
    """Turn the mixer's changes into fields of wishes: a granularity brings its settings and a sparsity it allows."""
    return {name: _wish(name, plan.layer(name), dict(fields), ranking) for name, fields in changes.items()}


def _wish(name: str, before: LayerPlan, fields: dict[str, Any], ranking: Ranking) -> dict[str, Any]:
    if "granularity" not in fields and "criterion" not in fields:
        return fields
    granularity, chosen = from_option(fields.get("granularity", ""))
    granularity = granularity or before.granularity
    criterion = fields.get("criterion", before.criterion)
    allowed = GRANULARITIES[granularity].settings.keys() | CRITERIA[criterion].settings.keys()
    settings = {key: value for key, value in before.settings.items() if key in allowed} | chosen
    settings |= fields.get("settings", {})
    fields |= {"granularity": granularity, "criterion": criterion, "settings": settings}
    if "sparsity" not in fields and "n" in settings and "m" in settings:
        fields["sparsity"] = 1 - settings["n"] / settings["m"]
    elif "sparsity" not in fields:
        fields["sparsity"] = _allowed(name, before, fields, ranking)
    return fields


def _allowed(name: str, before: LayerPlan, fields: dict[str, Any], ranking: Ranking) -> float:
    """Return the sparsity that the new way of pruning allows and that is nearest, the smaller of two."""
    try:
        steps = ranking.layout(name, before.model_copy(update=fields)).steps
    except pc.PruningError:  # it is refused with its reason when it is tried
        return before.sparsity
    return min(steps, key=lambda step: abs(step - before.sparsity)) if steps else before.sparsity
