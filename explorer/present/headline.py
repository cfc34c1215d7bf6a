"""Data of the headline component."""

from typing import Any

import pruning_core as pc
from explorer import work
from explorer.figures import headline as heads
from explorer.figures import words
from explorer.jobs import Job
from explorer.present.rows import curve_and_cells
from explorer.state import ExplorerState
from pruning_core.metrics import METRICS
from pruning_core.plan import Plan
from pruning_core.sensitivity import drop_at


def headline(bench: pc.Workbench, state: ExplorerState, form: str = "full") -> dict[str, Any]:
    """Return the headline's data; the first answer on a new plan measures a first chunk."""
    dragged = state.view.get("drag") if form == "full" else None
    plan = state.plan.with_layers(dragged) if dragged else state.plan
    exact = bench.exact(plan)
    known = known_accuracy(bench)
    job = work.latency_job(state.model, state.data, plan)
    live = (job and job.live) or work.live_sweep(state.model or "", state.data)
    done = known is None or (known.n == known.total and not dragged)
    return {
        "form": form,
        "metrics": [
            _accuracy_metric(bench, state, known, dragged),
            heads.size(exact.storage, exact.slimmed_bytes),
            heads.flops(bench.model.graph.macs, round(METRICS["effective_macs"](exact).value), exact.slimmed_macs),
            _latency(job, bool(dragged)),
        ],
        "can_undo": bool(state.past),
        "can_redo": bool(state.future),
        "link": form == "full",
        "status": "" if form == "full" else _status(known, plan),
        "announce": _announcement(known) if done and known else "",
        "refresh": 60 if not done and not dragged else 700 if live else None,
    }


def _accuracy_metric(
    bench: pc.Workbench, state: ExplorerState, known: heads.Accuracy | None, dragged: dict[str, Any] | None
) -> heads.Drawn:
    if known is None:
        return heads.no_accuracy("no data", "Without data there is no accuracy. Add data.")
    if not dragged:
        return heads.accuracy(known, state.tolerance, pruned=removes_something(state.plan))
    estimated = _estimated(bench, known, state, dragged)
    if estimated is None:
        return heads.no_accuracy("measured on release", "No curve is known for what moves, so there is no estimate.")
    return heads.accuracy(estimated, state.tolerance, estimated=True)


def removes_something(plan: Plan) -> bool:
    """Whether any layer loses weights."""
    return any(wish.sparsity > 0 for wish in plan.layers.values())


def _status(known: heads.Accuracy | None, plan: Plan) -> str:
    name = "Present plan" if removes_something(plan) else "Dense model"
    if known is None:
        return f"{name}, no data"
    return f"{name}, all measured" if known.n == known.total else f"{name}, n {words.count(known.n)}"


def _announcement(known: heads.Accuracy) -> str:
    return f"{known.label} {words.percent(known.value)}, change {words.points(known.drop)}, measured."


def known_accuracy(bench: pc.Workbench) -> heads.Accuracy | None:
    """Return what is known of the present plan; the first answer on a new plan measures a first chunk."""
    if bench.dataset is None:
        return None
    estimate = bench.estimate() if bench.started else bench.refine(0.0)
    labelled = estimate.accuracy is not None
    value = estimate.accuracy if estimate.accuracy is not None else 1 + estimate.drop
    label = "Accuracy" if labelled else "Agreement" if bench.reference.is_scored else "Agreement of outputs"
    dense = value - estimate.drop
    return heads.Accuracy(
        label,
        value,
        dense,
        estimate.interval,
        estimate.drop,
        estimate.drop_interval,
        estimate.n,
        estimate.total,
    )


def _estimated(
    bench: pc.Workbench, known: heads.Accuracy, state: ExplorerState, dragged: dict[str, Any]
) -> heads.Accuracy | None:
    """Move the measured accuracy along the single-layer curves of what is dragged; None where there is no curve."""
    shift, spread = 0.0, 0.0
    for name, fields in dragged.items():
        _, cells = curve_and_cells(bench, state, name)
        if not cells or "sparsity" not in fields:
            return None
        before, _ = drop_at(cells, state.plan.layer(name).sparsity)
        after, half = drop_at(cells, fields["sparsity"])
        shift, spread = shift + after - before, spread + half
    low, high = known.drop_interval
    drop = known.drop + shift
    return heads.Accuracy(
        known.label,
        max(0.0, known.dense + drop),
        known.dense,
        known.interval,
        drop,
        (low + shift - spread, high + shift + spread),
        known.n,
        known.total,
    )


def _latency(job: Job | None, dragged: bool) -> heads.Drawn:
    action = {"label": "Measure", "command": {"kind": "latency"}}
    if job is None or dragged:
        return heads.latency(None, "none", None if dragged else action)
    if job.live:
        return heads.latency(None, "measuring" if job.state == "running" else "waiting", None)
    if job.state != "done":
        return heads.latency(None, "failed", action)
    found, masked = job.result.smallest, job.result.masked
    speed = heads.Speed(
        f"ONNX Runtime, {found.threads} thread, batch {found.batch}",
        found.dense_ms,
        found.pruned_ms,
        found.ratio_to_dense,
        found.ratio_interval,
        found.null_interval,
        found.difference,
        found.how,
        masked and masked.pruned_ms,
        bool(masked and masked.difference),
    )
    return heads.latency(speed, "measured", None)
