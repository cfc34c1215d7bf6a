"""The sweep's heatmap as its component draws it."""

from typing import Any

CellValues = dict[tuple[str, float], dict[str, Any]]  # (layer, level) -> value, half (points), n


def heatmap(
    *,
    layers: list[tuple[str, float]],
    cells: CellValues,
    levels: list[float],
    limits: dict[str, float],
    tolerance: float,
    chosen: list[str],
    plan: dict[str, float],
    running: tuple[str, float] | None,
    total: int,
) -> dict[str, Any]:
    """Return rows of cells with their state; `limits` holds the largest sparsity within `tolerance` points."""
    rows = []
    for name, share in layers:
        row = [_cell(cells.get((name, level)), level, running == (name, level), total) for level in levels]
        known = [cell for cell in row if cell["value"] is not None]
        preview = any(cell["state"] != "done" for cell in known)
        rows.append(
            {"name": name, "share_params": share, "cells": row, "limit": limits.get(name), "limit_preview": preview}
        )
    return {
        "signature": "|".join(name for name, _ in layers) + str(levels),
        "levels": levels,
        "tolerance": tolerance,
        "metric_label": "accuracy drop, pt",
        "rows": rows,
        "chosen": chosen,
        "plan": plan,
    }


def _cell(known: dict[str, Any] | None, level: float, running: bool, total: int) -> dict[str, Any]:
    if known is None:
        return {"level": level, "value": None, "half": None, "n": 0, "total": total, "state": "none", "text": None}
    state = "running" if running else "done" if known["n"] >= total else "preview"
    return {"level": level, "total": total, "state": state, "text": None} | known
