"""`pruning-explorer sensitivity`: each layer alone at each level."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from explorer.commands import shown
from explorer.commands.asked import Inputs, layers_matching, numbers
from pruning_core.plan import LayerPlan
from pruning_core.sensitivity import DEFAULT_LEVELS, Progress, Request, Store, Sweep, sweep
from pruning_core.sensitivity.executors import MakeExecutor, executor_for
from pruning_core.sensitivity.readings import READINGS, Reading


@dataclass(frozen=True)
class Asked:
    """What the options say, besides the model, the data and the wish."""

    levels: str | None
    layers: str | None
    exact: bool
    metric: str
    target: Literal["weights", "activations"]
    fresh: bool
    workers: int
    cluster: str | None
    device: str
    options: dict[str, Any] = field(default_factory=dict)  # those of a plan


def run(inputs: Inputs, wish: LayerPlan, asked: Asked, out: Path | None, as_json: bool) -> None:
    """Sweep, write the sweep file, and print it."""
    reading = READINGS[asked.metric]
    executor = executor_for(asked.workers, asked.cluster)
    request = Request(
        wish.granularity,
        wish.criterion,
        numbers("--levels", asked.levels) if asked.levels else DEFAULT_LEVELS,
        inputs.samples,
        layers_matching(inputs.model, asked.layers),
        dict(wish.settings),
        exact=asked.exact,
        target=asked.target,
        **asked.options,
    )
    found = _measured(inputs, request, None if asked.fresh else Store(), executor, asked.device)
    for name, why in found.skipped.items():
        shown.note(f"{name} was left out: {why.removeprefix(f'{name}: ')}")
    for text in (*found.notices, *(cell.why for cell in found.failed)):
        shown.note(text)
    if out is not None:
        found.write(out)
    shown.document(found.to_dict()) if as_json else _table(found, reading)


def _measured(inputs: Inputs, request: Request, store: Store | None, executor: MakeExecutor, device: str) -> Sweep:
    with shown.progress("Measuring") as update:

        def moved(progress: Progress) -> None:
            update(progress.share, 1.0)

        hooks: dict[str, Any] = {"store": store, "executor": executor, "device": device, "on_progress": moved}
        return sweep(inputs.model, inputs.dataset.validation, request, calibration=inputs.dataset.calibration, **hooks)


def _table(found: Sweep, reading: Reading) -> None:
    if reading.needs_labels and found.dense_accuracy is None:
        reading = READINGS["agreement"]
    dense = f", dense accuracy {shown.percent(found.dense_accuracy)}" if found.dense_accuracy is not None else ""
    unit = "percentage points" if reading.unit == "pt" else reading.unit
    shown.line(
        f"{reading.label} in {unit} when one layer alone is pruned ({found.granularity}, {found.criterion}); "
        f"{found.n_samples:,} examples of {found.data}{dense}"
    )
    shown.line()
    if not found.cells:
        shown.line("No cell could be measured; the notes say why.")
        return
    levels = sorted({cell.sparsity for cell in found.cells})
    figures = {(cell.layer, cell.sparsity): (reading(cell), cell.state) for cell in found.cells}
    names = dict.fromkeys(cell.layer for cell in found.cells)
    rows = [(name, *(_text(figures.get((name, level)), reading) for level in levels)) for name in names]
    shown.table(("Layer", *(f"{level:.0%}" for level in levels)), rows)
    shown.line()
    worst = max(found.cells, key=lambda cell: abs(reading(cell).value - reading.dense))
    figure = reading(worst)
    value, low, high = (f"{reading.scale * number:+.2f}" for number in (figure.value, figure.low, figure.high))
    shown.line(f"{worst.layer} at {worst.sparsity:.0%}: {value}, from {low} to {high} (95 %)")
    shown.line(_how(found))


def _text(known: tuple[Any, str] | None, reading: Reading) -> str:
    """Return a figure; in brackets where its neighbours say it."""
    if known is None:
        return ""
    figure, state = known
    text = f"{reading.scale * figure.value:+.1f}" if reading.unit == "pt" else f"{figure.value:.3g}"
    return f"[{text}]" if state == "bracketed" else text


def _how(found: Sweep) -> str:
    states = [cell.state for cell in found.cells]
    bracketed, exact = states.count("bracketed"), states.count("exact")
    n = sum(cell.tally.n for cell in found.cells) / len(states)
    if exact == len(states):
        return f"All {len(states)} cells saw all {found.n_samples:,} examples; {found.seconds:.1f} s."
    return (
        f"{len(states)} cells in {found.seconds:.1f} s, {n:,.0f} of {found.n_samples:,} examples each on average; "
        f"{bracketed} in brackets lie between two settled levels. --exact runs all."
    )
