"""Data of the mixer component."""

from typing import Any

import pruning_core as pc
from explorer.figures import headline as heads
from explorer.figures import words
from explorer.present.headline import known_accuracy, removes_something
from explorer.present.notes import note
from explorer.present.options import option_value
from explorer.present.rows import Row, mixer_rows
from explorer.state import ExplorerState
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import Plan
from pruning_core.sensitivity import DEFAULT_LEVELS

PREVIEW_SECONDS = 6.0  # that a preview of all layers may take


def mixer(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the mixer's data."""
    rows = mixer_rows(bench, state)
    known = known_accuracy(bench)
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
        "note": note(bench, state, rows),
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


def _footer(bench: pc.Workbench, state: ExplorerState) -> str:
    graph = bench.model.graph
    norms = sum(layer.batch_norm is not None for layer in graph.layers)
    parts = [f"{norms} batch norms follow their convolution." if norms else ""]
    left = graph.not_prunable
    parts.append(f"{len(left)} parameters cannot be pruned, see their rows." if left else "Nothing skipped.")
    if graph.unsupported_operators:
        parts.append(f"Operators without a count: {', '.join(graph.unsupported_operators)}.")
    return " ".join(part for part in (*parts, *_options(state.plan)) if part)


def _options(plan: Plan) -> list[str]:
    """Say which options of the plan are not as at the start."""
    return [
        f"Widths in multiples of {plan.channel_multiple}." if plan.channel_multiple > 1 else "",
        "Norms may lose channels." if plan.through_norms else "",
        "Attention loses dimensions." if plan.heads == "dimension" else "",
    ]


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
