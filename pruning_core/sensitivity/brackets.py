"""Levels that need not run: between two settled levels that nearly agree, a curve has nowhere to go."""

from collections.abc import Mapping
from itertools import pairwise

from pruning_core.sensitivity.estimates import Figure, is_settled


def anchors(previews: Mapping[float, Figure]) -> set[float]:
    """Return the levels of one layer to run first, given their previews."""
    return {max(previews)} if previews else set()


def brackets(figures: Mapping[float, Figure | None]) -> dict[float, Figure]:
    """Return the levels of one layer that are bracketed; `figures` holds None for levels that are not settled."""
    known = [(0.0, Figure(0.0, 0.0, 0.0, 0.0)), *((level, f) for level, f in sorted(figures.items()) if f is not None)]
    found: dict[float, Figure] = {}
    for (below, lower), (above, upper) in pairwise(known):
        for level in [level for level in figures if below < level < above]:
            part = (level - below) / (above - below)
            value = lower.value + part * (upper.value - lower.value)
            reach = max(upper.value + upper.margin, lower.value + lower.margin) - value
            fall = value - min(upper.value - upper.margin, lower.value - lower.margin)
            between = Figure(value, min(lower.low, upper.low), max(lower.high, upper.high), max(reach, fall))
            if is_settled(between):
                found[level] = between
    return found
