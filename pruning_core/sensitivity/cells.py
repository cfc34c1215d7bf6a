"""Documents of a sweep: `Cell` (one layer at one sparsity) and `Sweep` (all cells, and what they were measured on)."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import exp
from pathlib import Path
from typing import Any, Literal

from pruning_core.errors import PruningError
from pruning_core.intervals import Interval
from pruning_core.sensitivity.estimates import Figure, accuracy_of, agreement_of, drop_of, kl_of, rise_of
from pruning_core.sensitivity.tally import Tally

VERSION = 1
State = Literal["preview", "refining", "settled", "bracketed", "exact", "failed"]
DONE = ("settled", "bracketed", "exact", "failed")  # nothing more is measured of the cell


@dataclass(frozen=True)
class Cell:
    """One layer at one sparsity, measured on some of the examples: a tally for each stratum of them.

    `sizes` are all examples of each stratum, those not measured included. A cell between two settled ones that nearly
    agree is bracketed: `between` is what they say of it.
    """

    layer: str
    sparsity: float
    measured_sparsity: float
    strata: tuple[Tally, ...]
    sizes: tuple[int, ...] = ()
    state: State = "exact"
    between: Figure | None = None
    why: str = ""  # it failed; `strata` may be empty then

    @property
    def done(self) -> bool:
        """Whether nothing more is measured of it."""
        return self.state in DONE

    @property
    def metric(self) -> str:
        """What its drop is a change of."""
        return "accuracy" if self.tally.labelled else "agreement"

    @property
    def worth(self) -> tuple[bool, int, int]:
        """How much it says, to be compared with the same cell of another sweep."""
        return self.done, sum(self.all_sizes), self.tally.n

    @cached_property
    def tally(self) -> Tally:
        """The examples measured; where strata were drawn unevenly, only its counts say something by themselves."""
        return sum(self.strata, Tally())

    @cached_property
    def figure(self) -> Figure:
        """Accuracy minus dense accuracy; without labels, agreement minus 1."""
        return self.between or drop_of(self.strata, self.all_sizes)

    @property
    def drop(self) -> float:
        """Accuracy minus dense accuracy; without labels, agreement minus 1."""
        return self.figure.value

    @property
    def drop_interval(self) -> Interval:
        """95 % interval of `drop`, paired with the dense model."""
        return self.figure.low, self.figure.high

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, or None without labels."""
        return accuracy_of(self.strata, self.all_sizes).value if self.tally.labelled else None

    @property
    def all_sizes(self) -> tuple[int, ...]:
        """All examples of each stratum."""
        return self.sizes or tuple(tally.n for tally in self.strata)

    def to_dict(self, dense: Tally | None = None) -> dict[str, Any]:
        """Return the cell as the sweep file holds it; `dense` is the dense model over all examples."""
        sizes, tally, labelled = self.all_sizes, self.tally, self.tally.labelled
        agreement, kl = agreement_of(self.strata, sizes), kl_of(self.strata, sizes)
        rise = rise_of(self.strata, sizes)
        known = dense is not None and dense.n > 0 and labelled  # better than from this sample
        accuracy = accuracy_of(self.strata, sizes, dense.correct / dense.n if dense and known else None)
        loss = None
        if labelled:
            loss = dense.loss / dense.n + rise.value if dense and known else tally.loss / tally.n
        return {
            "layer": self.layer,
            "sparsity": self.sparsity,
            "measured_sparsity": self.measured_sparsity,
            "accuracy": accuracy.value if labelled else None,
            "loss": loss,
            "kl": kl.value,
            "agreement": agreement.value,
            "accuracy_interval": [accuracy.low, accuracy.high] if labelled else None,
            "n_samples": tally.n,
            "state": self.state,
            "perplexity": None if loss is None else exp(min(loss, 700.0)),
            "drop": self.drop,
            "drop_interval": list(self.drop_interval),
            "loss_rise_interval": [rise.low, rise.high] if labelled else None,
            "kl_interval": [kl.low, kl.high],
            "agreement_interval": [agreement.low, agreement.high],
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
    exact: bool  # every cell saw all examples
    cells: tuple[Cell, ...]  # those that could be measured
    seconds: float
    skipped: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)  # those of a plan that are not as by default
    dense: Tally = field(default_factory=Tally)  # the dense model on the examples it answered
    notices: tuple[str, ...] = ()  # what a reader of the figures should know
    failed: tuple[Cell, ...] = ()  # those that could not, with the reason
    target: str = "weights"

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
            "cells": [cell.to_dict(self.dense) for cell in self.cells],
            "seconds": self.seconds,
            "target": self.target,
            "failed": [{"layer": c.layer, "sparsity": c.sparsity, "why": c.why} for c in self.failed],
            "notices": list(self.notices),
        }

    def write(self, path: str | Path) -> None:
        """Write the document to `path`."""
        try:
            Path(path).write_text(json.dumps(self.to_dict(), indent=2), "utf-8")
        except OSError as error:
            raise PruningError(f"cannot write the sweep to {path}: {error.strerror}") from None
