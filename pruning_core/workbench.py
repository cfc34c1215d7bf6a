"""The facade that app, command line and notebooks use: holds model, data and plan, and answers an edit.

Exact figures (sparsity, size, MACs) come at once from counts; accuracy comes as an interval that narrows with each
`refine`, re-using the activations before the earliest changed layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from pruning_core.apply import check, kept_weights, masks_for, plan_for, rows_of, summed, together
from pruning_core.data import Dataset
from pruning_core.errors import DataError
from pruning_core.intervals import paired_difference, wilson
from pruning_core.metrics.structure import Structure
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Change
from pruning_core.sensitivity.cells import Tally
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.replay import Frontier

__all__ = ["Estimate", "Reference", "Workbench"]

KEPT_CHUNKS = 4  # chunks whose activations before the edited layer are kept


@dataclass(frozen=True)
class Estimate:
    """Accuracy of the present plan on the first `n` of `total` validation examples (their order is random)."""

    n: int
    total: int
    accuracy: float | None
    interval: tuple[float, float]  # Wilson, 95 %; of the agreement where there are no labels
    drop: float  # against the dense model on the same examples; agreement minus 1 without labels
    drop_interval: tuple[float, float]  # paired, 95 %

    @property
    def done(self) -> bool:
        """Whether all examples are in."""
        return self.n == self.total


class Workbench:
    """One user's plan on a model; `reference` may be shared with other workbenches on the same model and data."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset | None = None,
        plan: Plan | None = None,
        reference: Reference | None = None,
    ) -> None:
        self.reference = reference or Reference(model, dataset)
        self.model = self.reference.model
        self.dataset = self.reference.dataset
        self.ranking = self.reference.ranking
        self.plan = plan_for(self.model)
        self._lock = RLock()  # an edit may come while another thread refines
        self._asked: dict[str, tuple[object, Change]] = {}  # layer -> what was asked, what that changes
        self._weights: dict[str, Tensor] = {}  # layer -> its weight as the replay wants it
        self._changed: dict[int, Tensor] = {}  # constants of the replay that the plan makes different
        self._frontiers: dict[int, Frontier] = {}  # chunk -> its activations before a layer that was edited
        self._position = 0  # of the earliest layer that the last edit changed
        self._model_wide: tuple[str, dict[str, Tensor]] = "", {}  # the last plan of scope "model", and its masks
        self._tally = Tally()
        self._next_chunk = 0
        if plan is not None:
            self.set_plan(plan)

    def edit(self, name: str, **changes: Any) -> Structure:
        """Change the wish for one layer and return the exact figures of the new plan."""
        return self.edit_many({name: changes})

    def edit_many(self, changes: Mapping[str, Mapping[str, Any]]) -> Structure:
        """Change several layers at once and return the exact figures of the new plan."""
        with self._lock:
            return self.set_plan(self.plan.with_layers({name: dict(fields) for name, fields in changes.items()}))

    def set_plan(self, plan: Plan) -> Structure:
        """Take another plan; on a refusal the present one stays. Returns its exact figures."""
        with self._lock:
            exact = self.exact(plan)
            if self.dataset is not None:
                self._take_weights(plan)
            self.plan = plan
            self._tally, self._next_chunk = Tally(), 0
            return exact

    def exact(self, plan: Plan | None = None) -> Structure:
        """Return sparsity, size and MACs of `plan` from counts alone; nothing is measured or changed."""
        plan = plan or self.plan
        check(plan, self.model, self.ranking)
        kept = kept_weights(self.model, plan, self.ranking)
        return self.reference.structure.with_counts(kept)

    def masks(self) -> dict[str, Tensor]:
        """Return the masks (out, in, *kernel) of the present plan."""
        return self._masks(self.plan)

    def refine(self, seconds: float = 0.1) -> Estimate:
        """Measure the present plan on further examples for about `seconds` and return all that is known."""
        started, n_chunks = perf_counter(), len(self.reference.chunks)
        while True:
            with self._lock, torch.inference_mode():
                if self._next_chunk < n_chunks:
                    self._measure_chunk(self._next_chunk)
                    self._next_chunk += 1
                if self._next_chunk == n_chunks or perf_counter() - started >= seconds:
                    return self.estimate()

    @property
    def started(self) -> bool:
        """Whether anything of the present plan's accuracy is known."""
        return self._tally.n > 0

    def estimate(self) -> Estimate:
        """Return what is known of the present plan's accuracy so far."""
        tally, total = self._tally, sum(len(chunk) for chunk in self.reference.chunks)
        if not tally.n:
            raise DataError("nothing is measured yet; call refine() first")
        if tally.labelled:
            drop = (tally.gained - tally.lost) / tally.n
            paired = paired_difference(tally.gained, tally.lost, tally.n)
            return Estimate(tally.n, total, tally.correct / tally.n, wilson(tally.correct, tally.n), drop, paired)
        low, high = wilson(tally.agreeing, tally.n)
        return Estimate(tally.n, total, None, (low, high), tally.agreeing / tally.n - 1, (low - 1, high - 1))

    def _measure_chunk(self, chunk: int) -> None:
        replay = self.reference.replay
        constants = replay.constants | self._changed
        frontier = self._frontiers.get(chunk) or self.reference.start(chunk)
        replay.advance(frontier, self._position, constants)
        if chunk < KEPT_CHUNKS:
            self._frontiers[chunk] = frontier
        self._tally += self.reference.answers(chunk).tally(replay.outputs(frontier, constants))

    def _take_weights(self, plan: Plan) -> None:
        """Prepare the weights that `plan` changes, and forget activations behind the earliest of them."""
        asked = self._wishes(plan)
        touched = [n for n in asked.keys() | self._asked.keys() if self._asked.get(n, (None,))[0] != asked.get(n)]
        if not touched:
            return
        before = [self._asked[name][1] for name in touched if name in self._asked]
        changes = self._changes(plan, [name for name in touched if name in asked])
        self._asked = {name: kept for name, kept in self._asked.items() if name not in touched}
        self._asked |= {name: (asked[name], change) for name, change in changes.items()}
        names = {name for change in (*before, *changes.values()) for name in (*change.masks, *change.values)}
        self._prepare(names)

    def _wishes(self, plan: Plan) -> dict[str, object]:
        """Return for each pruned row what its masks depend on: its wish, or all of them when layers compete."""
        wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
        if plan.scope == "layer":
            return dict(rows_of(wishes, self.ranking))
        return dict.fromkeys(wishes, plan.model_dump_json())

    def _prepare(self, names: set[str]) -> None:
        """Make the constants of layers and parameters `names` anew, from all that the plan asks of them."""
        replay, old = self.reference.replay, self._changed
        masks = together(change.masks for _, change in self._asked.values())
        values = summed(self.model, [change.values for _, change in self._asked.values()])
        known = {name: weight for name, weight in self._weights.items() if name not in names}
        layers = [name for name in dict.fromkeys([*masks, *values]) if name in self.model.graph.by_name]
        fresh = {n: replay.weight(n, masks.get(n), values.get(n)) for n in layers if n not in known}
        self._weights = {name: known[name] if name in known else fresh[name] for name in layers}
        self._changed = replay.changed(masks, values, self._weights)
        different = {i for i in old.keys() | self._changed.keys() if not _equal(old.get(i), self._changed.get(i))}
        self._position = replay.position_of(different)
        self._frontiers = {i: f for i, f in self._frontiers.items() if f.position <= self._position}

    def _changes(self, plan: Plan, names: list[str]) -> dict[str, Change]:
        """Return what the wishes for layers `names` change; in scope "model" all masks belong to the first of them."""
        if plan.scope == "layer":
            return {name: self.ranking.change(name, plan.layers[name]) for name in names}
        return {name: Change(self._masks(plan) if name == names[0] else {}) for name in names}

    def _masks(self, plan: Plan) -> dict[str, Tensor]:
        if plan.scope == "layer":
            return masks_for(self.model, plan, ranking=self.ranking)
        with self._lock:
            if self._model_wide[0] != (key := plan.model_dump_json()):
                self._model_wide = key, masks_for(self.model, plan, ranking=self.ranking)
            return dict(self._model_wide[1])


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))
