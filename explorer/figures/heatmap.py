"""The sweep's heatmap as its component draws it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class HeatmapRow:
    """A layer, or several that lose the same channels and are measured as one, under the name of the first."""

    name: str
    share_params: float  # of the model's parameters, all layers of the row together
    others: tuple[str, ...] = ()
    why_not: str = ""  # why nothing of it can go in this way


@dataclass(frozen=True)
class Scale:
    """What the cells show: the dense model stands at `dense`, and at a distance of `large` the colours end."""

    label: str
    unit: str
    dense: float
    large: float
    higher_is_better: bool


CellValues = dict[tuple[str, float], dict[str, Any]]  # (layer, level) -> value, half, n, state


def heatmap(
    *,
    layers: list[HeatmapRow],
    cells: CellValues,
    levels: list[float],
    limits: dict[str, float],
    tolerance: float,
    chosen: list[str],
    plan: dict[str, float],
    running: tuple[str, float] | None,
    total: int,
    scale: Scale,
) -> dict[str, Any]:
    """Return rows of cells with their state; `limits` holds the largest sparsity within `tolerance` points."""
    rows = []
    for layer in layers:
        name = layer.name
        row = [_cell(cells.get((name, level)), level, running == (name, level), total) for level in levels]
        if layer.why_not:
            row = [cell | {"state": "not_possible", "text": layer.why_not} for cell in row]
        known = [cell for cell in row if cell["value"] is not None]
        preview = any(cell["state"] in ("preview", "running") for cell in known)
        limit = {"limit": limits.get(name), "limit_preview": preview}
        rows.append(asdict(layer) | {"cells": row} | limit)
    return {
        "signature": "|".join(layer.name for layer in layers) + str(levels),
        "levels": levels,
        "tolerance": tolerance,
        "metric": asdict(scale),
        "rows": rows,
        "chosen": chosen,
        "plan": plan,
    }


def _cell(known: dict[str, Any] | None, level: float, running: bool, total: int) -> dict[str, Any]:
    if known is None:
        return {"level": level, "value": None, "half": None, "n": 0, "total": total, "state": "none", "text": None}
    state = "running" if running and known["state"] == "preview" else known["state"]
    return {"level": level, "total": total, "text": None} | known | {"state": state}
