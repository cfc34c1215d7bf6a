"""What the components show: plain data from the workbench, the state and the jobs. Nothing is computed here."""

import struct
from json import dumps
from typing import Any

import numpy as np

import pruning_core as pc
from explorer import jobs
from explorer.figures import headline as heads
from explorer.figures import words
from explorer.figures.curves import Line
from explorer.rows import Row, curve_and_cells, interpolate, kind, mixer_rows, option_value
from explorer.state import ExplorerState
from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.granularities import GRANULARITIES
from pruning_core.metrics import Structure
from pruning_core.pictures import Histogram, Picture, histogram, picture
from pruning_core.plan import Plan
from pruning_core.sensitivity import DEFAULT_LEVELS, Sweep, largest_within

PREVIEW_SECONDS = 6.0
TABS = ("Weights", "Activations", "Graph")


def headline(bench: pc.Workbench, state: ExplorerState, form: str = "full") -> dict[str, Any]:
    """Return the headline's data; the first answer on a new plan measures a first chunk."""
    dragged = state.view.get("drag")
    plan = state.plan.with_layers(dragged) if dragged else state.plan
    exact = bench.exact(plan)
    known = _accuracy(bench)
    job = jobs.latency_job(state.model, state.data, plan)
    live = (job and job.live) or jobs.live_sweep(state.model or "", state.data)
    done = known is None or (known.n == known.total and not dragged)
    return {
        "form": form,
        "metrics": [
            _accuracy_metric(bench, state, known, dragged),
            heads.size(exact.storage),
            heads.flops(bench.model.graph.macs, effective_macs(exact)),
            _latency(job, bool(dragged), removes_something(plan)),
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


def effective_macs(structure: Structure) -> int:
    """Return the multiplications that are left when those by zero are not counted."""
    layers = structure.graph.layers
    kept = sum(round(layer.macs * structure.kept[layer.name] / layer.n_weights) for layer in layers)
    return structure.graph.macs - sum(layer.macs for layer in layers) + kept


def _status(known: heads.Accuracy | None, plan: Plan) -> str:
    name = "Present plan" if removes_something(plan) else "Dense model"
    if known is None:
        return f"{name}, no data"
    return f"{name}, all measured" if known.n == known.total else f"{name}, n {words.count(known.n)}"


def _announcement(known: heads.Accuracy) -> str:
    return f"{known.label} {words.percent(known.value)}, change {words.points(known.drop)}, measured."


def _accuracy(bench: pc.Workbench) -> heads.Accuracy | None:
    if bench.dataset is None:
        return None
    estimate = bench.estimate() if bench.started else bench.refine(0.0)
    labelled = estimate.accuracy is not None
    value = estimate.accuracy if estimate.accuracy is not None else 1 + estimate.drop
    label = "Accuracy" if labelled else "Agreement"
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
        curve, _ = curve_and_cells(bench, state, name)
        if curve is None or "sparsity" not in fields:
            return None
        before, _ = interpolate(curve, state.plan.layer(name).sparsity)
        after, half = interpolate(curve, fields["sparsity"])
        shift, spread = shift + (after - before) / 100, spread + half / 100
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


def _latency(job: jobs.Job | None, dragged: bool, removes: bool) -> heads.Drawn:
    action = {"label": "Measure", "command": {"kind": "latency"}}
    if job is None or dragged:
        return heads.latency(None, "none", None if dragged else action)
    if job.live:
        return heads.latency(None, "measuring" if job.state == "running" else "waiting", None)
    if job.state != "done":
        return heads.latency(None, "failed", action)
    found = job.result
    speed = heads.Speed(
        f"ONNX Runtime, {found.threads} thread, batch {found.batch}",
        found.dense_ms,
        found.pruned_ms,
        found.ratio_to_dense,
        found.ratio_interval,
        found.null_interval,
        found.difference,
        found.how,
    )
    return heads.latency(speed, "measured", None)


def mixer(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the mixer's data."""
    rows = mixer_rows(bench, state)
    known = _accuracy(bench)
    overall = {"sparsity": _overall(bench, state.plan), "drop": _overall_drop(known, state)}
    return {
        "signature": f"{state.model}|{state.data}",
        "push": state.push,
        "ack": state.view.get("ack", 0),
        "tolerance": state.tolerance,
        "rows": rows,
        "granularities": [{"value": row, "label": label} for row, label in _all_options()],
        "criteria": [{"value": criterion.name, "label": criterion.label} for criterion in CRITERIA.values()],
        "selected": state.layer,
        "overall": overall,
        "note": note(state, rows),
        "footer": _footer(bench, state),
        "empty_curves": _empty_curves(bench, rows),
    }


def _all_options() -> list[tuple[str, str]]:
    return [
        (option_value(g.name, preset), g.label_of(**preset)) for g in GRANULARITIES.values() for preset in g.presets
    ]


def _overall(bench: pc.Workbench, plan: Plan) -> float:
    exact = bench.exact(plan)
    return 1 - exact.n_kept / exact.n_weights if exact.n_weights else 0.0


def _overall_drop(known: heads.Accuracy | None, state: ExplorerState) -> dict[str, Any]:
    if known is None or not removes_something(state.plan):
        return {"state": "dense" if known else "none", "value": 0.0, "half": None, "n": 0, "text": ""}
    half = 50 * (known.drop_interval[1] - known.drop_interval[0])
    measuring = "known" if known.n == known.total else "measuring"
    return {"state": measuring, "value": 100 * known.drop, "half": half, "n": known.n, "total": known.total}


def note(state: ExplorerState, rows: list[Row]) -> dict[str, Any] | None:
    """Return the one line that needs doing: a refusal, else the layer that costs most above tolerance."""
    if state.notice:
        return {"text_parts": [{"text": state.notice}], "actions": []}
    above = [row for row in rows if row["prunable"] and row["curve"] and (row["drop"]["value"] or 0) < -state.tolerance]
    if not above:
        return None
    worst = min(above, key=lambda row: row["drop"]["value"])
    name, cost = worst["name"], worst["drop"]["value"]
    limit = _largest_within(worst["curve"], state.tolerance, worst["steps"])
    over = f"{words.rounded(-cost - state.tolerance)} pt above tolerance."
    rest = f" alone costs {words.rounded(cost)} pt; it stays within tolerance up to {words.percent(limit, 0)}."
    use = {"kind": "edit", "changes": {name: {"sparsity": limit}}}
    return {
        "text_parts": [{"text": over, "bold": True}, {"text": " "}, {"text": name, "mono": True}, {"text": rest}],
        "actions": [
            {"label": "Show layer", "command": {"kind": "select", "layer": name}},
            {"label": f"Use {words.percent(limit, 0)}", "command": use},
        ],
    }


def _largest_within(curve: Row, tolerance: float, steps: list[float] | None) -> float:
    levels, drops = curve["levels"], curve["drops"]
    for k in range(1, len(levels)):
        if drops[k] < -tolerance:
            part = (-tolerance - drops[k - 1]) / (drops[k] - drops[k - 1])
            found = levels[k - 1] + min(1.0, max(0.0, part)) * (levels[k] - levels[k - 1])
            return float(max(s for s in steps if s <= found + 1e-9) if steps else int(100 * found) / 100)
    return float(levels[-1])


def _footer(bench: pc.Workbench, state: ExplorerState) -> str:
    graph = bench.model.graph
    norms = sum(layer.batch_norm is not None for layer in graph.layers)
    parts = [f"{norms} batch norms follow their convolution." if norms else ""]
    left = graph.not_prunable
    parts.append(f"{len(left)} parameters cannot be pruned, see their rows." if left else "Nothing skipped.")
    if graph.unsupported_operators:
        parts.append(f"Operators without a count: {', '.join(graph.unsupported_operators)}.")
    return " ".join(part for part in parts if part)


def _empty_curves(bench: pc.Workbench, rows: list[Row]) -> dict[str, Any] | None:
    if any(row.get("curve") for row in rows):
        return None
    if bench.dataset is None:
        return {"text": "Without data there is sparsity, size and FLOPs, but no accuracy. Add data.", "action": None}
    n = sum(row["prunable"] for row in rows)
    time = words.duration(preview_size(bench)[1])
    text = f"No curves yet. A preview of all {n} layers takes about {time}."
    return {"text": text, "action": {"label": "Preview", "command": {"kind": "preview"}}}


def preview_size(bench: pc.Workbench) -> tuple[int, float]:
    """Return how many examples a preview takes, and its seconds: at least 64, more where they are quick."""
    cells = {layer.name: len(DEFAULT_LEVELS) for layer in bench.model.graph.layers}
    total = len(bench.dataset.validation) if bench.dataset else 0
    sizes = [n for n in (512, 256, 128) if bench.reference.seconds_for(cells, n) <= PREVIEW_SECONDS]
    n = min(total, sizes[0] if sizes else 64)
    return n, bench.reference.seconds_for(cells, n)


def panel(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the header of the selected layer and its tabs."""
    layer = bench.model.graph.layer(state.layer or "")
    wish = state.plan.layer(layer.name)
    kept = bench.ranking.n_kept_weights(layer.name, wish) if state.plan.scope == "layer" else layer.n_weights
    facts = [{"text": part} for part in kind(layer).split(" · ")]
    facts.append({"text": f"{words.count(layer.n_weights)} weights"})
    if wish.sparsity:
        facts.append({"text": f"{words.count(kept)} kept", "strong": True})
    tag = f"{words.rounded(100 * wish.sparsity).removesuffix('.0')} % pruned"
    return {
        "layer": layer.name,
        "tag": tag if wish.sparsity else "dense",
        "pruned": wish.sparsity > 0,
        "facts": facts,
        "tabs": list(TABS),
        "tab": state.tab,
    }


def weights(bench: pc.Workbench, state: ExplorerState) -> bytes:
    """Return the Weights tab: a JSON header, then magnitudes and kept shares as bytes."""
    name = state.layer or ""
    layer, wish = bench.model.graph.layer(name), state.plan.layer(name)
    options = {"view": "folded", "sorted": True, "show_mask": True} | dict(state.view.get("weights", {}))
    weight = bench.model.graph.weight(name)
    mask = bench.masks().get(name) if state.plan.scope == "model" else None
    if mask is None and wish.sparsity and state.plan.scope == "layer":
        mask = bench.ranking.mask(name, wish)
    drawn = picture(weight, mask, options["view"], options["sorted"])
    counted = histogram(weight, mask)
    vmax = float(drawn.magnitudes.max()) or 1.0
    out, inputs = layer.weight_shape[:2]
    header = options | {
        "layer": name,
        "push": state.push,
        "rows": drawn.magnitudes.shape[0],
        "cols": drawn.magnitudes.shape[1],
        "cell_label": drawn.label,
        "cell_size": drawn.weights_per_cell,
        "vmax": vmax,
        "row_axis": f"{words.count(inputs)} inputs down",
        "col_axis": f"{words.count(out)} outputs across" + (f", {drawn.limited}" if drawn.limited else ""),
        "aggregated": drawn.aggregated,
        "row_ids": list(drawn.row_ids),
        "col_ids": list(drawn.col_ids),
        "views": ["folded", "kernels"] if len(layer.weight_shape) > 2 else ["folded"],
        "kernel": _kernel(bench, name, mask, drawn, state.view.get("cell")),
        "histogram": _histogram(counted),
        "sparsity": wish.sparsity,
        "criterion_label": CRITERIA[wish.criterion].label,
        "draggable": not wish.locked and wish.criterion in ("l1", "l2") and wish.granularity == "fine_grained",
    }
    head = dumps(header).encode()
    share = (drawn.kept * 255).round().to(dtype=drawn.kept.dtype).numpy().astype(np.uint8)
    size = (drawn.magnitudes / vmax * 255).round().numpy().astype(np.uint8)
    return struct.pack("<I", len(head)) + head + size.tobytes() + share.tobytes()


def _histogram(counted: Histogram) -> dict[str, Any]:
    return {
        "counts": list(counted.counts),
        "pruned": list(counted.pruned),
        "low": -counted.limit,
        "high": counted.limit,
        "threshold": counted.threshold,
        "abs_sorted_quantiles": list(counted.quantiles),
    }


def _kernel(bench: pc.Workbench, name: str, mask: Any, drawn: Picture, cell: dict[str, Any] | None) -> Any:
    """Return the kernel of the chosen cell, the largest one where none was chosen; None without kernels."""
    weight = bench.model.graph.weight(name)
    if weight.dim() < 3:
        return None
    mine = cell if cell and cell.get("layer") == name else None
    out, inp = (mine["col"], mine["row"]) if mine else (drawn.col_ids[0], drawn.row_ids[0])
    values = weight[out, inp]
    kept = mask[out, inp] if mask is not None else values == values
    if values.dim() > 2:
        return None
    shape = [1, *values.shape] if values.dim() == 1 else list(values.shape)
    return {
        "title": f"Output {out}, input {inp}",
        "detail": f"{int(kept.sum())} of {values.numel()} kept",
        "row": inp,
        "col": out,
        "shape": shape,
        "values": values.flatten().tolist(),
        "kept": kept.flatten().tolist(),
    }


def activations(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the Activations tab: zeros by channel of every layer over the calibration data."""
    found: dict[str, LayerStatistics] = bench.ranking.statistics(frozenset({"activation_zeros"}))
    layers = []
    for name, stats in found.items():
        zeros = stats.known("activation_zeros")
        layers.append(
            {
                "name": name,
                "zeros": [round(value, 4) for value in zeros.tolist()],
                "channels": len(zeros),
                "overall": float(zeros.mean()),
                "dead": stats.dead_channels.tolist(),
                "has_relu": bool((zeros > 0).any()),
            }
        )
    return {"layers": layers, "selected": state.layer, "n": next(iter(found.values())).n if found else 0}


# ---- sweeps


def cells(known: Sweep) -> dict[tuple[str, float], dict[str, Any]]:
    """Return each cell's drop and half interval in points, and its n."""
    found = {}
    for cell in known.cells:
        low, high = cell.drop_interval
        found[cell.layer, cell.sparsity] = {"value": 100 * cell.drop, "half": 50 * (high - low), "n": cell.tally.n}
    return found


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
        steps = bench.ranking.layout(name, request.wish(0.0)).steps
        limit = largest_within(known.of_layer(name), tolerance / 100, steps)
        found[name] = limit if steps else int(100 * limit + 1e-9) / 100
    return found


def sweep_json(known: Sweep) -> str:
    """Return the sweep as the command line writes it."""
    return dumps(known.to_dict(), indent=2)


# ---- export


def plan_rows(bench: pc.Workbench, state: ExplorerState) -> list[dict[str, Any]]:
    """Return the plan layer by layer, as a table."""
    kept = bench.exact(state.plan).kept
    rows = []
    for layer in bench.model.graph.layers:
        wish = state.plan.layer(layer.name)
        granularity = GRANULARITIES[wish.granularity]
        settings = {name: value for name, value in wish.settings.items() if name in granularity.settings}
        rows.append(
            {
                "Layer": layer.name,
                "Sparsity": words.percent(1 - kept[layer.name] / layer.n_weights),
                "Kept": words.count(kept[layer.name]),
                "Weights": words.count(layer.n_weights),
                "Granularity": granularity.label_of(**settings) if wish.sparsity else "dense",
                "Criterion": CRITERIA[wish.criterion].label if wish.sparsity else "",
                "Locked": "locked" if wish.locked else "",
            }
        )
    return rows


def snippet(bench: pc.Workbench, state: ExplorerState) -> str:
    """Return Python that repeats the present plan from its file."""
    lines = ["import pruning_core as pc", "", f"model = pc.load_model({state.model!r})"]
    if state.data:
        lines.append(f"data = pc.load_data({state.data!r})")
    lines.append('plan = pc.Plan.read("plan.json")')
    calibration = ", data.calibration" if state.data else ""
    lines.append(f"pruned = pc.apply(plan, model{calibration})  # a masked copy; model is untouched")
    if state.data:
        lines.append("print(pc.measure(model, data.test, plan, calibration=data.calibration).to_json())")
    return "\n".join(lines)
