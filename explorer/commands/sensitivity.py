"""`pruning-explorer sensitivity`: each layer alone at each level."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer.commands import shown
from explorer.commands.asked import Inputs, layers_matching, numbers
from pruning_core.plan import LayerPlan
from pruning_core.sensitivity import DEFAULT_LEVELS, Progress, Request, Sweep, sweep

QUICK = 512  # examples, where neither --samples nor --exact asks for others


def run(
    inputs: Inputs,
    wish: LayerPlan,
    levels: str | None,
    layers: str | None,
    exact: bool,
    options: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    """Sweep, write the sweep file, and print it."""
    request = Request(
        wish.granularity,
        wish.criterion,
        numbers("--levels", levels) if levels else DEFAULT_LEVELS,
        inputs.samples or (None if exact else QUICK),
        layers_matching(inputs.model, layers),
        dict(wish.settings),
        **options,
    )
    found = _measured(inputs, request)
    for name, why in found.skipped.items():
        shown.note(f"{name} was left out: {why.removeprefix(f'{name}: ')}")
    if out is not None:
        found.write(out)
    shown.document(found.to_dict()) if as_json else _table(found)


def _measured(inputs: Inputs, request: Request) -> Sweep:
    """Run the sweep with a bar; `exact` then says whether all examples of the split were used."""
    data = inputs.dataset.validation
    with shown.progress("Measuring") as update:

        def moved(progress: Progress) -> None:
            update(progress.share, 1.0)

        found = sweep(inputs.model, data, request, calibration=inputs.dataset.calibration, on_progress=moved)
    return replace(found, exact=found.exact and found.n_samples == len(data))


def _table(found: Sweep) -> None:
    metric = "accuracy" if found.dense_accuracy is not None else "agreement with the dense model"
    dense = f", dense {shown.percent(found.dense_accuracy)}" if found.dense_accuracy is not None else ""
    shown.line(
        f"Change of {metric} in percentage points when one layer alone is pruned ({found.granularity}, "
        f"{found.criterion}); {found.n_samples:,} examples of {found.data}{dense}"
    )
    shown.line()
    levels = sorted({cell.sparsity for cell in found.cells})
    names = dict.fromkeys(cell.layer for cell in found.cells)
    cells = {(cell.layer, cell.sparsity): cell for cell in found.cells}
    rows = [
        (name, *(f"{100 * cells[name, s].drop:+.1f}" if (name, s) in cells else "" for s in levels)) for name in names
    ]
    shown.table(("Layer", *(f"{level:.0%}" for level in levels)), rows)
    worst = min(found.cells, key=lambda cell: cell.drop)
    low, high = worst.drop_interval
    shown.line()
    shown.line(
        f"{worst.layer} at {worst.sparsity:.0%}: {100 * worst.drop:+.1f}, from {100 * low:+.1f} to {100 * high:+.1f}"
    )
