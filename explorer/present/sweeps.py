"""Data of the Sensitivity page."""

from json import dumps
from typing import Any

import pruning_core as pc
from explorer.figures import escaping, words
from explorer.figures.curves import Line
from explorer.figures.heatmap import HeatmapRow, Scale
from pruning_core.allocation.curves import Curve
from pruning_core.coupled import row_of
from pruning_core.ranking import refuses
from pruning_core.sensitivity import Cell, Sweep, largest_within
from pruning_core.sensitivity.advice import advice as sentence_of
from pruning_core.sensitivity.advice import is_separated
from pruning_core.sensitivity.estimates import Figure
from pruning_core.sensitivity.readings import READINGS, Reading

STATES = {"preview": "preview", "refining": "preview", "settled": "done", "exact": "done", "bracketed": "bracketed"}


def cells(known: Sweep, reading: Reading) -> dict[tuple[str, float], dict[str, Any]]:
    """Return what is read off each cell with half its interval, its n and its state; why where it failed."""
    found: dict[tuple[str, float], dict[str, Any]] = {}
    for cell in known.cells:
        figure = reading(cell)
        half = reading.scale * (figure.high - figure.low) / 2
        shown = {"value": reading.scale * figure.value, "half": half, "n": cell.tally.n, "state": STATES[cell.state]}
        found[cell.layer, cell.sparsity] = shown
    for cell in known.failed:
        nothing = {"value": None, "half": None, "n": 0}
        found[cell.layer, cell.sparsity] = nothing | {"state": "not_possible", "text": cell.why}
    return found


def readings(known: Sweep | None) -> list[str]:
    """Return the metrics that can be shown: without labels only those that need none."""
    labelled = known is None or not known.cells or known.cells[0].tally.labelled
    return [name for name, reading in READINGS.items() if labelled or not reading.needs_labels]


def scale(reading: Reading) -> Scale:
    """Return how the heatmap colours a metric."""
    return Scale(reading.label, reading.unit, reading.scale * reading.dense, reading.large, reading.higher_is_better)


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


def curve_line(known: Sweep, name: str, reading: Reading) -> Line:
    """Return one layer's curve as shown; that of accuracy with the fit that allocations read."""
    found = known.of_layer(name)
    figures = [Figure(reading.dense, reading.dense, reading.dense, 0.0), *map(reading, found)]
    values, low, high = (tuple(reading.scale * getattr(f, end) for f in figures) for end in ("value", "low", "high"))
    has_fit = bool(found) and reading.name == found[0].metric
    fitted = (0.0, *(-100 * loss for loss in Curve.of(found).fitted)) if has_fit else ()
    return Line(name, (0.0, *(cell.sparsity for cell in found)), values, low, high, fitted)


def table(
    known: Sweep, names: list[str], limits: dict[str, float], tolerance: float, reading: Reading
) -> list[dict[str, str]]:
    """Return a row for each layer: its limit, and what it loses at a middle and a high level."""
    levels = sorted({cell.sparsity for cell in known.cells})
    chosen = dict.fromkeys([levels[len(levels) // 2], levels[-2:][0]]) if levels else {}
    rows = []
    for name in names:
        cells = {cell.sparsity: cell for cell in known.of_layer(name)}
        row = {"Layer": escaping.markdown(name), f"Within {tolerance:.1f} pt": words.percent(limits.get(name, 0.0), 0)}
        for level in chosen:
            row[f"At {words.percent(level, 0)}"] = _with_half(cells[level], reading) if level in cells else "–"
        rows.append(row)
    return rows


def _with_half(cell: Cell, reading: Reading) -> str:
    figure = reading(cell)
    value, half = reading.scale * figure.value, reading.scale * (figure.high - figure.low) / 2
    if reading.unit == "pt":
        return f"{words.signed(value)} ± {words.rounded(half)}"
    return f"{value:.2g} ± {half:.1g}"


def advice(known: Sweep, names: list[str]) -> str:
    """Return what it takes to tell two layers apart, at the highest level where both are known and not apart."""
    if len(names) != 2:
        return ""
    one, other = ({cell.sparsity: cell for cell in known.of_layer(name) if cell.done} for name in names)
    both = sorted(one.keys() & other.keys(), reverse=True)
    level = next((level for level in both if not is_separated(one[level], other[level])), both[0] if both else None)
    if level is None:
        return ""
    text = sentence_of(one[level], other[level])
    return f"{words.typeset(text)}."


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
