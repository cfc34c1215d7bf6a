"""Data of the dialog "Fit to budget": what is asked, and what must be measured first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor, isnan, log10
from typing import Any

import pruning_core as pc
from explorer import fit_work
from explorer.figures import words
from explorer.fit_work import Terms
from explorer.present.options import request_for
from explorer.state import ExplorerState
from pruning_core.allocation import COSTS, Budget, Problem
from pruning_core.allocation.problem import LEVELS
from pruning_core.allocation.text import DROP, UNITS
from pruning_core.apply import plan_for
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity import Cell, Request, cells_of

SWEEP_SECONDS = 60.0  # that the curves of a fit may take without being asked for more
SAMPLES = (2000, 1000, 500)  # examples of a cell to choose from
LIMITS = (DROP, "size", "macs", "params", "latency")
OF_DENSE = "% of dense"
POINTS = "pt"
SHARES = (OF_DENSE, POINTS)  # units of which there are at most 100
SHOWN_UNITS = {"size": "kB", "macs": "M", "params": "k", "latency": "ms"}  # of an amount, in words of the core
UNIT_LABELS = {"kB": "KB", "M": "million", "k": "thousand", "ms": "ms"}

Row = dict[str, Any]


# ---- what is asked


def basis(plan: Plan) -> Plan:
    """Return what a fit reads of a plan: ways and locks; free layers lose nothing in it yet."""
    wishes = {
        name: wish if wish.locked else wish.model_copy(update={"sparsity": 0.0})
        for name, wish in sorted(plan.layers.items())
    }
    layers = {name: wish for name, wish in wishes.items() if wish != LayerPlan()}
    return plan.model_copy(update={"layers": layers, "scope": "layer"})


def terms(state: ExplorerState, limits: Mapping[str, Mapping[str, Any]], least_gain: float, samples: int) -> Terms:
    """Return the terms of a fit; `limits` holds for layers `stays`, `least` and `most`, as far as they are set."""
    held = tuple(name for name, fields in limits.items() if fields.get("stays"))
    bounds = {key: _set(limits, key) for key in ("least", "most")}
    plan = basis(state.plan)
    plan = plan.model_copy(update={"layers": plan.layers | {n: state.plan.layer(n) for n in held}})
    return Terms(plan, held, bounds["least"], bounds["most"], least_gain, samples)


def _set(limits: Mapping[str, Mapping[str, Any]], key: str) -> tuple[tuple[str, float], ...]:
    return tuple((name, fields[key]) for name, fields in limits.items() if fields.get(key) is not None)


def budget(metric: str, value: float, unit: str) -> Budget:
    """Return the limit that the fields say: points of accuracy, percent of the dense model, or an amount."""
    if unit in (POINTS, OF_DENSE):
        return Budget(metric, value / 100)
    return Budget(metric, value * UNITS[metric][unit], is_fraction=False)


def units(metric: str) -> list[str]:
    """Return the units that a limit on this metric may be said in."""
    return [POINTS] if metric == DROP else [OF_DENSE, SHOWN_UNITS[metric]]


def limit_label(metric: str) -> str:
    """Return the metric's name in a menu."""
    return "Accuracy drop" if metric == DROP else COSTS[metric].label


def amount(metric: str, value: float) -> str:
    """Return a cost in figures and unit: 156 KB, 4.51 M."""
    if metric == "latency":
        return f"{words.rounded(value / 1e6, 2)} ms"
    return " ".join(words.size(value) if metric == "size" else words.operations(value))


# ---- what is measured, and what is missing


def requests(bench: pc.Workbench, plan: Plan, samples: int | None) -> tuple[Request, ...]:
    """Return the sweeps that measure every row in the way that the plan cuts and scores it."""
    ways: dict[str, list[str]] = {}
    found: dict[str, Request] = {}
    for layer in bench.model.graph.layers:
        request = request_for(plan.layer(layer.name), plan, levels=LEVELS, samples=samples, exact=True)
        found[repr(request)] = request
        ways.setdefault(repr(request), []).append(layer.name)
    every = [replace(request, layers=tuple(ways[way])) for way, request in found.items()]
    return tuple(replace(request, layers=tuple(cells)) for request in every if (cells := _cells_of(bench, request)))


def _cells_of(bench: pc.Workbench, request: Request) -> dict[str, tuple[float, ...]]:
    try:
        return cells_of(bench.model, request, bench.ranking)
    except pc.PruningError:  # no layer of this way can be measured; the fit says which and why
        return {}


@dataclass(frozen=True)
class Missing:
    """What a fit has to measure first."""

    requests: tuple[Request, ...]
    n_cells: int
    n_known: int
    seconds: float


def missing(bench: pc.Workbench, state: ExplorerState, asked: tuple[Request, ...]) -> Missing:
    """Return the cells of `asked` that are not known of enough examples, and about how long they take."""
    lacking: list[Request] = []
    n_cells, n_all, seconds = 0, 0, 0.0
    for request in asked:
        wanted = _cells_of(bench, request)
        known = _known(state, request)
        open_ = {n: [level for level in levels if (n, level) not in known] for n, levels in wanted.items()}
        names = tuple(name for name, levels in open_.items() if levels)
        n_cells, n_all = n_cells + sum(map(len, open_.values())), n_all + sum(map(len, wanted.values()))
        if names:
            levels = tuple(sorted({level for name in names for level in open_[name]}))
            lacking.append(replace(request, layers=names, levels=levels))
            per_layer = {name: len(open_[name]) for name in names}
            seconds += bench.reference.seconds_for(per_layer, request.samples or bench.reference.n_examples)
    return Missing(tuple(lacking), n_cells, n_all - n_cells, seconds)


def _known(state: ExplorerState, request: Request) -> dict[tuple[str, float], Cell]:
    known = fit_work.known(state.model or "", state.data, request)
    return {(cell.layer, cell.sparsity): cell for cell in known.cells} if known else {}


def sample_sizes(bench: pc.Workbench) -> list[int]:
    """Return the numbers of examples that curves may be measured on, the largest first."""
    total = bench.reference.n_examples
    return sorted({total, *(n for n in SAMPLES if n < total)}, reverse=True)


def usual_samples(bench: pc.Workbench, state: ExplorerState) -> int:
    """Return as many examples for the curves as take no longer than a minute."""
    cells = {
        name: len(levels)
        for request in requests(bench, state.plan, None)
        for name, levels in _cells_of(bench, request).items()
    }
    sizes = sample_sizes(bench)
    return next((n for n in sizes if bench.reference.seconds_for(cells, n) <= SWEEP_SECONDS), sizes[-1])


def unlocked(bench: pc.Workbench, state: ExplorerState) -> list[str]:
    """Return the layers that a fit may touch."""
    return [layer.name for layer in bench.model.graph.layers if not state.plan.layer(layer.name).locked]


def locked(state: ExplorerState) -> list[str]:
    """Return the layers that no fit touches."""
    return [name for name, wish in state.plan.layers.items() if wish.locked]


def missing_words(first: Missing, samples: int | None) -> str:
    """Say what is known of the curves and how long the rest takes."""
    of = f"of {words.count(samples)} examples" if samples else "of all examples"
    if not first.n_cells:
        return f"Curves are there: {words.count(first.n_known)} cells {of} each."
    time = words.duration(first.seconds)
    return f"{words.count(first.n_cells)} cells {of} each are not measured yet; that takes about {time}."


def ways(bench: pc.Workbench, plan: Plan) -> str:
    """Say how the layers are cut and scored: a fit changes their sparsity alone."""
    counts: dict[str, int] = {}
    for layer in bench.model.graph.layers:
        wish = plan.layer(layer.name)
        shape = GRANULARITIES[wish.granularity]
        settings = {name: value for name, value in wish.settings.items() if name in shape.settings}
        way = f"{shape.label_of(**settings).lower()} by {CRITERIA[wish.criterion].label.lower()}"
        counts[way] = counts.get(way, 0) + 1
    if len(counts) == 1:
        return f"Layers are cut as their rows say: {next(iter(counts))}."
    return f"Layers are cut as their rows say: {', '.join(f'{n} {way}' for way, n in counts.items())}."


def limits_of(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the limits of single layers from the rows of the table, percent as fractions; empty fields are none."""
    found = {}
    for record in records:
        given = {key: record[key] for key in ("least", "most")}
        bounds = {key: value / 100 for key, value in given.items() if value is not None and not isnan(value)}
        if bounds or record["stays"]:
            found[record["layer"]] = {"stays": bool(record["stays"])} | bounds
    return found


def usual_limit(bench: pc.Workbench, state: ExplorerState, metric: str, unit: str) -> tuple[float, float]:
    """Return the number that a limit begins with, and its step: the tolerance, or half of the dense model."""
    if unit == POINTS:
        return state.tolerance, 0.1
    if unit == OF_DENSE:
        return 50.0, 5.0
    if metric == "latency":
        return 1.0, 0.1
    half = dense_cost(bench, metric) / 2 / UNITS[metric][unit]
    return float(f"{half:.3g}"), 10.0 ** max(-3, floor(log10(max(half, 1e-3))) - 1)


def dense_cost(bench: pc.Workbench, metric: str) -> int:
    """Return what the dense model costs, counted."""
    return COSTS[metric](Problem(bench.model, ranked=bench.ranking), plan_for(bench.model))


def limit_help(bench: pc.Workbench, metric: str) -> str:
    """Say what a limit is a limit of."""
    if metric == DROP:
        return "Points of accuracy on the validation examples, all layers together, as measured."
    if metric == "latency":
        return f"{COSTS[metric].doc} The dense model is timed first."
    return f"{COSTS[metric].doc} The dense model has {amount(metric, dense_cost(bench, metric))}."


def cuts_channels(bench: pc.Workbench, plan: Plan) -> bool:
    """Whether any layer loses whole channels, heads or branches."""
    names = {plan.layer(layer.name).granularity for layer in bench.model.graph.layers}
    return any(GRANULARITIES[name].structure for name in names)
