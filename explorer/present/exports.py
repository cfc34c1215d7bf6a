"""Data of the Export page."""

from typing import Any

import pruning_core as pc
from explorer.figures import escaping, words
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
                "Layer": escaping.cell(layer.name),
                "Sparsity": words.percent(1 - kept[layer.name] / layer.n_weights),
                "Kept": words.count(kept[layer.name]),
                "Weights": words.count(layer.n_weights),
                "Granularity": granularity.label_of(**settings) if wish.sparsity else "dense",
                "Criterion": CRITERIA[wish.criterion].label if wish.sparsity else "",
                "Locked": "locked" if wish.locked else "",
            }
        )
    return rows
