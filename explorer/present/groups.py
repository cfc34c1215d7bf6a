"""Which rows of the mixer lose the same channels: a letter for each set of coupled layers, and whether it binds now."""

from typing import Any

import pruning_core as pc
from explorer.figures import words
from pruning_core.coupled import row_of
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan, Plan

Row = dict[str, Any]
WORDS = {"output": "channel", "input": "input channel", "head": "head", "branch": "branch"}  # structure -> one of them


def groups(bench: pc.Workbench, plan: Plan) -> dict[str, Row]:
    """Return for each layer that is coupled its group: letter, members, and whether its wish binds them."""
    letters: dict[tuple[str, ...], str] = {}
    found = {}
    for layer in bench.model.graph.layers:
        members = row_of(layer.name, plan.layer(layer.name), bench.ranking)
        active = len(members) > 1
        members = members if active else bench.ranking.rows.partners[layer.name]
        if len(members) > 1:
            letter = letters.setdefault(members, _letter(len(letters)))
            found[layer.name] = {"letter": letter, "active": active, "tip": _tip(layer.name, members, active)}
    return found


def _letter(number: int) -> str:
    """Return A, B, … Z, AA, AB, …"""
    rest, last = divmod(number, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + last)


def _tip(name: str, members: tuple[str, ...], active: bool) -> str:
    others = [member for member in members if member != name]
    some = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
    if active:
        return f"Loses the same channels as {some}."
    return f"Coupled with {some}: binds only when whole channels go."


def removable(bench: pc.Workbench, name: str, wish: LayerPlan) -> Row | None:
    """Return what a structural wish removes, how many there are, and why some must stay."""
    units = bench.ranking.units(name, wish)
    if units is None:
        return None
    word = WORDS[GRANULARITIES[wish.granularity].structure or ""]
    if units.structure == "branch" and len(units.members) == 1:
        word = "layer"
    stay = [f"{words.plural(n, word)} must stay: {why}" for why, n in units.kept_by_reason.items()]
    return {"word": word, "n": len(units.groups), "stay": stay}
