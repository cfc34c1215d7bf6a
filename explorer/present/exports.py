"""Data of the Export page."""

from typing import Any

import pruning_core as pc
from explorer.figures import words
from explorer.state import ExplorerState
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES


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
