"""`Workbench`: one user's plan on a model, and what it does.

Exact figures (sparsity, size, MACs) come at once from counts; accuracy comes as an interval that narrows with each
`refine`, re-using the activations before the earliest changed layer.
"""

from collections.abc import Mapping
from threading import RLock
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor

from pruning_core.apply import changes_for, check, kept_weights, masks_for, plan_for
from pruning_core.data import Dataset
from pruning_core.granularities import GRANULARITIES
from pruning_core.metrics.structure import Structure
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.replay import Frontier
from pruning_core.sensitivity.tally import Tally
from pruning_core.slimming import slimmed_counts
from pruning_core.workbench.edited import Edited
from pruning_core.workbench.estimate import Estimate

KEPT_CHUNKS = 4  # chunks whose activations before the edited layer are kept


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
        self.plan = plan_for(self.model)
        self._lock = RLock()  # an edit may come while another thread refines
        self._edited: Edited | None = None  # made when a plan is taken, since replay is not needed without data
        self._frontiers: dict[int, Frontier] = {}  # chunk -> its activations before a layer that was edited
        self._model_wide: tuple[Plan, dict[str, Tensor]] = self.plan, {}  # a plan of scope "model", and its masks
        self._tally = Tally()
        self._next_chunk = 0
        if plan is not None:
            self.set_plan(plan)

    @property
    def ranking(self) -> Ranking:
        """Scores and ranks under the options of the present plan."""
        return self.reference.ranking.under(self.plan)

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
                self._take(plan)
            self.plan = plan
            self._tally, self._next_chunk = Tally(), 0
            return exact

    def exact(self, plan: Plan | None = None) -> Structure:
        """Return sparsity, size and MACs of `plan` from counts alone; nothing is measured or changed."""
        plan, dense = plan or self.plan, self.reference.structure
        ranking = self.reference.ranking.under(plan)
        if not any(GRANULARITIES[wish.granularity].structure for wish in plan.layers.values() if wish.sparsity > 0):
            check(plan, self.model, ranking)
            return dense.with_counts(kept_weights(self.model, plan, ranking))
        change = changes_for(self.model, plan, ranking=ranking, update=False)
        return dense.with_masks(
            change.masks, slimmed_counts(ranking.coupling, change.removed, ranking.rows.skipped(change.removed))
        )

    def masks(self) -> dict[str, Tensor]:
        """Return the masks of the present plan, by layer (out, in, *kernel) or by parameter."""
        plan = self.plan
        if plan.scope == "layer":
            return masks_for(self.model, plan, ranking=self.ranking)
        with self._lock:  # a ranking of all layers together takes its time
            if self._model_wide[0] is not plan:
                self._model_wide = plan, masks_for(self.model, plan, ranking=self.ranking)
            return dict(self._model_wide[1])

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
        return Estimate.of(self._tally, sum(len(chunk) for chunk in self.reference.chunks))

    def _take(self, plan: Plan) -> None:
        """Prepare what `plan` changes, and forget activations behind the earliest of it."""
        ranking, edited = self.reference.ranking.under(plan), self._edited
        if edited is None or edited.ranking is not ranking:
            edited = Edited(self.reference.replay_under(ranking.norms), ranking)
        changed = edited.take(plan)
        if edited is not self._edited:
            self._edited, self._frontiers = edited, {}
        elif changed:
            self._frontiers = {i: f for i, f in self._frontiers.items() if f.position <= edited.position}

    def _measure_chunk(self, chunk: int) -> None:
        if self._edited is None:
            self._take(self.plan)
        edited = cast(Edited, self._edited)
        constants = {**edited.replay.constants, **edited.constants}
        frontier = self._frontiers.get(chunk) or self.reference.start(chunk, edited.replay)
        edited.replay.advance(frontier, edited.position, constants)
        if chunk < KEPT_CHUNKS:
            self._frontiers[chunk] = frontier
        self._tally += self.reference.answers(chunk).tally(edited.replay.outputs(frontier, constants))
