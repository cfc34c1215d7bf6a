"""Data of the Sensitivity page."""

from json import dumps
from typing import Any

import pruning_core as pc
from explorer.figures.curves import Line
from explorer.figures.heatmap import HeatmapRow
from pruning_core.allocation.curves import Curve
from pruning_core.coupled import row_of
from pruning_core.ranking import refuses
from pruning_core.sensitivity import Sweep, largest_within


def cells(known: Sweep) -> dict[tuple[str, float], dict[str, Any]]:
    """Return each cell's drop and half interval in points, and its n."""
    found = {}
    for cell in known.cells:
        low, high = cell.drop_interval
        found[cell.layer, cell.sparsity] = {"value": 100 * cell.drop, "half": 50 * (high - low), "n": cell.tally.n}
    return found


def heatmap_rows(bench: pc.Workbench, request: pc.Request) -> list[HeatmapRow]:
    """Return one row for each set of layers that lose the same, in the model's order; what cannot lose says why."""
    graph, ranking, wish = bench.model.graph, bench.reference.ranking.under(request), request.wish(0.0)
    found, seen = [], set[str]()
    for layer in graph.layers:
        if layer.name in seen:
            continue
        why = refuses(ranking, layer.name, wish)
        members = (layer.name,) if why else row_of(layer.name, wish, ranking)
        seen |= set(members)
        share = sum(graph.layer(name).params for name in members) / graph.params
        others = tuple(name for name in members if name != layer.name)
        found.append(HeatmapRow(layer.name, share, others, why.removeprefix(f"{layer.name}: ") if why else ""))
    return found


def levels(known: Sweep, bench: pc.Workbench, request: pc.Request, live: bool) -> list[float]:
    """Return the columns: what is measured, and while a sweep runs what it is going to measure."""
    coming: set[float] = set()
    if live:
        for name in {cell.layer for cell in known.cells}:
            coming |= set(
                (
                    bench.reference.ranking.under(request).layout(name, request.wish(0.0)).steps
                    or (0.0, *request.levels)
                )[1:]
            )
    return sorted({cell.sparsity for cell in known.cells} | coming)


def sweep_total(known: Sweep, bench: pc.Workbench) -> int:
    """Return how many examples a finished cell has: what was asked for last, at most all."""
    asked = known.n_samples or len(bench.dataset.validation)  # type: ignore[union-attr]
    return min(asked, len(bench.dataset.validation))  # type: ignore[union-attr]


def curve_line(known: Sweep, name: str) -> Line:
    """Return one layer's curve in points."""
    found = known.of_layer(name)
    return Line(
        name,
        (0.0, *(cell.sparsity for cell in found)),
        (0.0, *(100 * cell.drop for cell in found)),
        (0.0, *(100 * cell.drop_interval[0] for cell in found)),
        (0.0, *(100 * cell.drop_interval[1] for cell in found)),
        (0.0, *(-100 * loss for loss in Curve.of(found).fitted)) if found else (),
    )


def default_layers(known: Sweep, n: int = 3) -> list[str]:
    """Return the layers that lose most, for a first look."""
    worst: dict[str, float] = {}
    for cell in known.cells:
        worst[cell.layer] = min(worst.get(cell.layer, 0.0), cell.drop)
    return sorted(worst, key=lambda name: worst[name])[:n]


def limits(bench: pc.Workbench, known: Sweep, request: pc.Request, tolerance: float) -> dict[str, float]:
    """Return the largest sparsity of each layer within `tolerance` points, in whole percent."""
    found = {}
    for name in {cell.layer for cell in known.cells}:
        steps = bench.reference.ranking.under(request).layout(name, request.wish(0.0)).steps
        limit = largest_within(known.of_layer(name), tolerance / 100, steps)
        found[name] = limit if steps else int(100 * limit + 1e-9) / 100
    return found


def sweep_json(known: Sweep) -> str:
    """Return the sweep as the command line writes it."""
    return dumps(known.to_dict(), indent=2)
