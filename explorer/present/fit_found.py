"""What a fit found: predicted beside measured, what it costs, what each layer loses."""

from collections.abc import Mapping
from typing import Any

import pruning_core as pc
from explorer import fit_work
from explorer.figures import allocations, escaping, words
from explorer.fit_work import Fitted
from explorer.jobs import Job
from explorer.present.fit import amount, basis, limit_label
from explorer.state import ExplorerState
from pruning_core.allocation import Budget, Comparison
from pruning_core.allocation.text import DROP
from pruning_core.plan import Plan

Row = dict[str, Any]


def is_current(job: Job | None, state: ExplorerState) -> bool:
    """Whether a fit holds for the present plan: its ways and its locks are still those that were read."""
    if job is None:
        return False
    asked = fit_work.asked_of(job).terms
    held = {name: state.plan.layer(name) for name in asked.held}
    now = basis(state.plan)
    return asked.plan == now.model_copy(update={"layers": now.layers | held})


def goal_words(job: Job) -> str:
    """Say what a fit was asked for."""
    asked = fit_work.asked_of(job)
    goal = asked.goal
    if not isinstance(goal, Budget):
        return f"All allocations at an overall sparsity of {words.percent(goal, 0)}"
    if goal.metric == DROP:
        return f"Least {limit_label(asked.least).lower()} while the drop stays within {words.points(goal.limit)[1:]}"
    limit = f"{words.percent(goal.limit, 0)} of dense" if goal.is_fraction else amount(goal.metric, goal.limit)
    text = f"{limit_label(goal.metric).lower()} at most {limit}"
    return f"All allocations with {text}" if asked.kind == "compare" else f"Least drop, {text}"


def change(drop: float, interval: tuple[float, float] | None) -> str:
    """Return a drop, a fraction, as the app writes changes: −1.2 ± 0.6 pt."""
    return f"{plain(drop, interval)} pt"


def plain(drop: float, interval: tuple[float, float] | None) -> str:
    """Return a drop, a fraction, as a change in points without the unit: −1.2 ± 0.6."""
    half = "" if interval is None else f" ± {words.rounded(50 * (interval[1] - interval[0]))}"
    return words.signed(-100 * drop) + half


def figures(found: Fitted) -> list[tuple[str, str, str]]:
    """Return (label, value, how) of what was found: predicted beside measured, then what it costs."""
    kept = found.allocation
    rows = []
    if kept.predicted_drop is not None:
        rows.append(("Predicted", change(kept.predicted_drop, kept.predicted_interval), "sum of single drops"))
    if kept.measured_drop is not None:
        measured = kept.measured_drop
        n = f"all layers together, n {words.count(measured.n or 0)}"
        rows.append(("Measured", change(measured.value, measured.interval), n))
    for name, (dense, now) in found.costs.items():
        label = limit_label(name) if name != "macs" else "MACs"
        rows.append((label, amount(name, now), f"{words.change(now, dense)}, dense {amount(name, dense)}"))
    return rows


def points(rows: tuple[Comparison, ...]) -> list[allocations.Point]:
    """Return what was predicted and measured of each allocation, as changes in points."""
    return [
        allocations.Point(
            row.label,
            _points(row.predicted_drop),
            _interval(row.predicted_interval),
            _points(row.measured_drop.value if row.measured_drop else None),
            _interval(row.measured_drop.interval if row.measured_drop else None),
        )
        for row in rows
        if row.refusal is None
    ]


def _points(drop: float | None) -> float | None:
    return None if drop is None else -100 * drop


def _interval(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (-100 * interval[1], -100 * interval[0])


def table(rows: tuple[Comparison, ...]) -> list[Row]:
    """Return the rows under the plot: what each allocation gives, or why it cannot."""
    found: list[Row] = []
    for row in rows:
        if row.refusal is not None:
            found.append({"name": row.name, "label": row.label, "refusal": row.refusal})
            continue
        measured = row.measured_drop
        found.append(
            {
                "name": row.name,
                "label": row.label,
                "refusal": None,
                "plan": row.plan,
                "sparsity": words.percent(row.sparsity),
                "predicted": "–" if row.predicted_drop is None else plain(row.predicted_drop, row.predicted_interval),
                "measured": "–" if measured is None else plain(measured.value, measured.interval),
                "layers": ", ".join(f"{name} {words.percent(share, 0)}" for name, share in row.sparsities),
            }
        )
    return found


def layer_rows(bench: pc.Workbench, before: Plan, after: Plan, why: Mapping[str, str] | None = None) -> list[Row]:
    """Return what each layer loses now and would lose, in percent, and why one stays dense."""
    before, after = pc.spread(before, bench.ranking), pc.spread(after, bench.ranking)
    rows = []
    for layer in bench.model.graph.layers:
        now, then = before.layer(layer.name), after.layer(layer.name)
        note = "locked" if then.locked else "" if then.sparsity else (why or {}).get(layer.name, "")
        note = note.removeprefix(f"{layer.name}: ")
        rows.append(
            {"Layer": escaping.cell(layer.name), "Now": 100 * now.sparsity, "Then": 100 * then.sparsity, "Note": note}
        )
    return rows


def overall(bench: pc.Workbench, plan: Plan) -> float:
    """Return the share of all prunable weights that a plan removes."""
    exact = bench.exact(pc.spread(plan, bench.ranking))
    return 1 - exact.n_kept / exact.n_weights if exact.n_weights else 0.0
