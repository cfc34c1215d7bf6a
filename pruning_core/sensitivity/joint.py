"""Several rows of a plan on the same examples: what each loses alone, and what some of them lose together.

A row is a layer, or coupled layers that lose the same channels. Figures are means over examples of what each example
changes, so sums and differences of them are paired, whatever the rows have in common.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.apply import changes_by_row, joined
from pruning_core.errors import PlanError
from pruning_core.intervals import Interval, mean_interval, normal_quantile
from pruning_core.plan import Plan
from pruning_core.ranking import Change
from pruning_core.sensitivity.answers import Answers, answers_on
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.replay import Frontier
from pruning_core.sensitivity.worker import chunk_size


@dataclass(frozen=True)
class Effect:
    """A mean over examples, with its 95 % interval for the population they were drawn from."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Sums:
    """Sums over examples of one value for each; sums of different examples add up."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @staticmethod
    def of(values: Tensor) -> "Sums":
        """Return the sums of values (batch,)."""
        values = values.double()
        return Sums(len(values), float(values.sum()), float(values.square().sum()))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def of_counts(self) -> Effect:
        """Mean change of answers: whole numbers, mostly 0.

        One more example of +1 and one of -1, each half, and one of 0 stand beside those measured, so that no change at
        all has a width; where each example counts -1, 0 or 1 it is the interval of Agresti and Min
        (`intervals.paired_difference`).
        """
        n = self.n + 2
        mean = self.total / n
        half = normal_quantile(0.95) * sqrt((self.squares + 1) / n - mean * mean) / sqrt(n)
        return Effect(self.total / self.n, (mean - half, mean + half))

    @property
    def of_values(self) -> Effect:
        """Mean of values such as losses, with the normal interval."""
        mean = self.total / self.n
        spread = max(0.0, self.squares - self.n * mean * mean) / max(1, self.n - 1)
        return Effect(mean, mean_interval(mean, sqrt(spread), self.n) or (-float("inf"), float("inf")))


@dataclass(frozen=True)
class Chunk:
    """Some examples before the first node, and what the dense model answers to them."""

    frontier: Frontier
    answers: Answers


class Joint:
    """The rows of `plan` on the first `samples` examples of the reference's order, ready to be combined."""

    def __init__(self, reference: Reference, plan: Plan, samples: int | None = None) -> None:
        self.reference, self.plan, self.ranking = reference, plan, reference.ranking.under(plan)
        self.rows: dict[str, Change] = changes_by_row(reference.model, plan, self.ranking)
        if not self.rows:
            raise PlanError("the plan prunes nothing; give some layers a sparsity")
        self.replay = reference.replay_under(self.ranking.norms)
        self.labelled = reference.validation.has_classes
        self.n = min(reference.n_examples, samples or reference.n_examples)

    def only(self, layers: Iterable[str] | None) -> "Joint":
        """Leave out the rows that hold none of `layers`; a layer that no row prunes is refused."""
        if layers is None:
            return self
        wanted = [self._row(name) for name in layers]
        self.rows = {name: change for name, change in self.rows.items() if name in wanted}
        return self

    def _row(self, name: str) -> str:
        self.reference.model.graph.layer(name)  # an unknown name is refused at once
        for row in self.rows:
            units = self.ranking.units(row, self.plan.layer(row))
            if name == row or (units is not None and name in units.members):
                return row
        raise PlanError(f"{name}: the plan keeps all of it; give it a sparsity, or leave it out")

    @cached_property
    def changed(self) -> Mapping[str, Mapping[int, Any]]:
        """The constants of the replay that each row makes different, rows in the order of their places in the graph."""
        found = {name: self.replay.changed(change) for name, change in self.rows.items()}
        return dict(sorted(found.items(), key=lambda item: self.replay.position_of(item[1])))

    def position(self, name: str) -> int:
        """Return the place of the first node that row `name` changes."""
        return self.replay.position_of(self.changed[name])

    def together(self, names: Iterable[str]) -> dict[int, Any]:
        """Return the constants that several rows make different together."""
        return self.replay.changed(joined([self.rows[name] for name in names], self.ranking))

    def chunks(self) -> Iterator[Chunk]:
        """Yield the examples in chunks that fit the processor's cache."""
        data, size = self.reference.validation, chunk_size(self.replay)
        order = np.concatenate(self.reference.chunks)[: self.n]
        for start in range(0, self.n, size):
            part = order[start : start + size]
            with torch.inference_mode():
                frontier = self.replay.start(*data.prepared(part))
                answers = answers_on(data, part, self.replay.outputs(frontier))
            yield Chunk(frontier, answers)
