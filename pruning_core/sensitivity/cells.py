"""Documents of a sweep: `Cell` (one layer at one sparsity) and `Sweep` (all cells, and what they were measured on)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pruning_core.errors import PruningError
from pruning_core.intervals import paired_difference, wilson
from pruning_core.sensitivity.tally import Tally

VERSION = 1


@dataclass(frozen=True)
class Cell:
    """One layer at one sparsity; figures are over the first `n_samples` examples of the sweep's order."""

    layer: str
    sparsity: float
    measured_sparsity: float
    tally: Tally
    done: bool  # all examples of the sweep are in

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, or None without labels."""
        return self.tally.correct / self.tally.n if self.tally.labelled else None

    @property
    def drop(self) -> float:
        """Accuracy minus dense accuracy on the same examples; without labels, agreement minus 1."""
        tally = self.tally
        return (tally.gained - tally.lost) / tally.n if tally.labelled else tally.agreeing / tally.n - 1

    @property
    def drop_interval(self) -> tuple[float, float]:
        """95 % interval of `drop`, paired with the dense model."""
        tally = self.tally
        if tally.labelled:
            return paired_difference(tally.gained, tally.lost, tally.n)
        low, high = wilson(tally.agreeing, tally.n)
        return low - 1, high - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as the sweep file holds it."""
        tally = self.tally
        return {
            "layer": self.layer,
            "sparsity": self.sparsity,
            "measured_sparsity": self.measured_sparsity,
            "accuracy": self.accuracy,
            "loss": tally.loss / tally.n if tally.labelled else None,
            "kl": tally.kl / tally.n,
            "agreement": tally.agreeing / tally.n,
            "accuracy_interval": list(wilson(tally.correct, tally.n)) if tally.labelled else None,
            "n_samples": tally.n,
        }


@dataclass(frozen=True)
class Sweep:
    """A finished or stopped sweep. `skipped` says which layers were left out and why."""

    model: str
    data: str
    n_samples: int
    dense_accuracy: float | None
    dense_loss: float | None
    granularity: str
    criterion: str
    settings: dict[str, Any]
    exact: bool
    cells: tuple[Cell, ...]
    seconds: float
    skipped: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)  # those of a plan that are not as by default

    def of_layer(self, name: str) -> tuple[Cell, ...]:
        """Cells of one layer, by sparsity."""
        return tuple(sorted((cell for cell in self.cells if cell.layer == name), key=lambda cell: cell.sparsity))

    def with_cell(self, cell: Cell) -> "Sweep":
        """Return a copy in which `cell` takes the place of the older one for its layer and sparsity."""
        others = [c for c in self.cells if (c.layer, c.sparsity) != (cell.layer, cell.sparsity)]
        return replace(self, cells=(*others, cell))

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `sensitivity --json`."""
        return {
            "version": VERSION,
            "model": self.model,
            "data": self.data,
            "metric": "accuracy" if self.dense_accuracy is not None else "agreement",
            "n_samples": self.n_samples,
            "dense": {"accuracy": self.dense_accuracy, "loss": self.dense_loss},
            "granularity": self.granularity,
            "criterion": self.criterion,
            **({"options": self.options} if self.options else {}),
            "exact": self.exact,
            "cells": [cell.to_dict() for cell in self.cells],
            "seconds": self.seconds,
        }

    def write(self, path: str | Path) -> None:
        """Write the document to `path`."""
        try:
            Path(path).write_text(json.dumps(self.to_dict(), indent=2), "utf-8")
        except OSError as error:
            raise PruningError(f"cannot write the sweep to {path}: {error.strerror}") from None


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Return the cells of several sweeps of one model and data as one, whose layers may be cut in different ways."""
    first, *others = sweeps
    if not others:
        return first
    granularities, criteria = {found.granularity for found in sweeps}, {found.criterion for found in sweeps}
    cells = tuple(cell for found in sweeps for cell in found.cells)
    measured = {cell.layer for cell in cells}
    skipped = {name: why for found in sweeps for name, why in found.skipped.items() if name not in measured}
    return replace(
        first,
        granularity=first.granularity if len(granularities) == 1 else "mixed",
        criterion=first.criterion if len(criteria) == 1 else "mixed",
        settings={},
        n_samples=min(found.n_samples for found in sweeps),
        exact=all(found.exact for found in sweeps),
        cells=cells,
        seconds=sum(found.seconds for found in sweeps),
        skipped=skipped,
    )


def largest_within(cells: tuple[Cell, ...], tolerance: float, steps: tuple[float, ...] | None = None) -> float:
    """Return the largest sparsity whose drop stays within `tolerance` (a fraction), on the line through the cells.

    The first crossing counts, from 0 on; a layer that never crosses goes to its highest measured sparsity. Where only
    `steps` are possible the largest step that was measured within tolerance is returned.
    """
    level, drop = 0.0, 0.0
    for cell in sorted(cells, key=lambda cell: cell.sparsity):
        if cell.drop < -tolerance:
            if steps:
                return level
            return level + (cell.sparsity - level) * (tolerance + drop) / (drop - cell.drop)
        level, drop = cell.sparsity, cell.drop
    return level


def drop_at(cells: tuple[Cell, ...], sparsity: float) -> tuple[float, float]:
    """Return drop and half of its interval at `sparsity`, on the line from dense through the cells; an estimate.

    Past the last measured level that level's own figures stand, since nothing is known there.
    """
    before = (0.0, 0.0, 0.0)
    for cell in sorted(cells, key=lambda cell: cell.sparsity):
        low, high = cell.drop_interval
        after = (cell.sparsity, cell.drop, (high - low) / 2)
        if cell.sparsity >= sparsity:
            part = (sparsity - before[0]) / (after[0] - before[0])
            drop, half = (before[i] + part * (after[i] - before[i]) for i in (1, 2))
            return drop, half
        before = after
    return before[1:]
