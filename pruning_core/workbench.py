"""The facade that app, command line and notebooks use: holds model, data and plan, and answers an edit.

Exact figures (sparsity, size, MACs) come at once from counts; accuracy comes as an interval that narrows with each
`refine`, re-using the activations before the earliest changed layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from pruning_core.apply import check, masks_for, plan_for
from pruning_core.data import Dataset, check_fits
from pruning_core.errors import DataError
from pruning_core.intervals import paired_difference, wilson
from pruning_core.metrics.structure import Structure
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.cells import Tally
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.sweep import tally_of

CHUNKS = (100, 156)  # examples of the first chunk, and of each later one: the first answer comes early
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


class Reference:
    """The dense model and its answers on the validation data; holds no plan, so sessions may share it."""

    def __init__(self, model: Model, dataset: Dataset | None = None) -> None:
        self.model = model
        self.dataset = dataset
        self.ranking = Ranking(model, dataset.calibration if dataset else None)
        self._dense: dict[int, Tensor] = {}
        self._seconds_per_example = 0.0
        self._lock = Lock()
        if dataset:
            check_fits(dataset.validation, model.graph.input_shapes[0], model.graph.output_shape[-1])

    @cached_property
    def structure(self) -> Structure:
        """What the dense model is made of."""
        return Structure.from_counts(self.model.graph, {})

    @cached_property
    def replay(self) -> Replay:
        """The graph prepared for forks."""
        return Replay(self.model.graph)

    @cached_property
    def chunks(self) -> tuple[Any, ...]:
        """Example numbers of the validation split, in a fixed random order, cut into chunks."""
        if self.dataset is None:
            raise DataError("without data there is no accuracy; add data")
        order = torch.randperm(len(self.dataset.validation), generator=torch.Generator().manual_seed(0)).numpy()
        cuts = range(CHUNKS[0], len(order), CHUNKS[1])
        return tuple(order[a:b] for a, b in zip((0, *cuts), (*cuts, len(order)), strict=True))

    def start(self, chunk: int) -> tuple[Frontier, Tensor | None]:
        """Return the frontier before the first node, and the targets, of one chunk."""
        data, part = self.dataset.validation, self.chunks[chunk]  # type: ignore[union-attr]
        return self.replay.start(data.batch(part)), None if data.targets is None else data.labels(part)

    def dense_logits(self, chunk: int) -> Tensor:
        """Return the dense model's outputs on one chunk, computed once."""
        with self._lock:
            if chunk not in self._dense:
                started = perf_counter()
                self._dense[chunk] = self.replay.outputs(self.start(chunk)[0])
                self._seconds_per_example = (perf_counter() - started) / len(self.chunks[chunk])
            return self._dense[chunk]

    def seconds_for(self, n_cells_by_layer: Mapping[str, int], samples: int) -> float:
        """Return about how long a sweep of these cells takes, from the time that the dense model took."""
        self.dense_logits(0)
        macs = sum(self.replay.fork_macs[name] * n for name, n in n_cells_by_layer.items())
        return self._seconds_per_example * samples * (1 + macs / max(1, self.model.graph.macs))

    @cached_property
    def dense(self) -> Tally:
        """The dense model over all validation examples."""
        with torch.inference_mode():
            outputs = [(self.dense_logits(i), self.start(i)[1]) for i in range(len(self.chunks))]
            return sum((tally_of(logits, logits, targets) for logits, targets in outputs), Tally())


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
        self._weights: dict[str, tuple[object, Tensor]] = {}  # layer -> what was asked, prepared weight
        self._frontiers: list[Frontier] = []
        self._tally = Tally()
        self._next_chunk = 0
        self._position = 0  # of the kept activations
        if plan is not None:
            self.set_plan(plan)

    def edit(self, name: str, **changes: Any) -> Structure:
        """Change the wish for one layer and return the exact figures of the new plan."""
        return self.edit_many({name: changes})

    def edit_many(self, changes: Mapping[str, Mapping[str, Any]]) -> Structure:
        """Change several layers at once and return the exact figures of the new plan."""
        return self.set_plan(self.plan.with_layers({name: dict(fields) for name, fields in changes.items()}))

    def set_plan(self, plan: Plan) -> Structure:
        """Take another plan; on a refusal the present one stays. Returns its exact figures."""
        exact = self.exact(plan)
        self.plan = plan
        self._tally, self._next_chunk = Tally(), 0
        self._refresh_weights()
        return exact

    def exact(self, plan: Plan | None = None) -> Structure:
        """Return sparsity, size and MACs of `plan` from counts alone; nothing is measured or changed."""
        plan = plan or self.plan
        check(plan, self.model, self.ranking)
        if plan.scope == "model":
            kept = {n: int(m.sum()) for n, m in masks_for(self.model, plan, ranking=self.ranking).items()}
        else:
            wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
            kept = {name: self.ranking.n_kept_weights(name, wish) for name, wish in wishes.items()}
        return self.reference.structure.with_counts(kept)

    def masks(self) -> dict[str, Tensor]:
        """Return the masks (out, in, *kernel) of the present plan."""
        return masks_for(self.model, self.plan, ranking=self.ranking)

    def refine(self, seconds: float = 0.1) -> Estimate:
        """Measure the present plan on further examples for about `seconds` and return all that is known."""
        started = perf_counter()
        with torch.inference_mode():
            constants = self.reference.replay.constants_with({n: weight for n, (_, weight) in self._weights.items()})
            while self._next_chunk < len(self.reference.chunks):
                self._measure_chunk(self._next_chunk, constants)
                self._next_chunk += 1
                if perf_counter() - started >= seconds:
                    break
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

    def _measure_chunk(self, chunk: int, constants: Mapping[int, Any]) -> None:
        replay = self.reference.replay
        start, targets = self.reference.start(chunk)
        if chunk < len(self._frontiers):
            frontier = self._frontiers[chunk]
        else:
            frontier = replay.advance(start, self._position, constants)
            if chunk < KEPT_CHUNKS:
                self._frontiers.append(frontier)
        logits = replay.outputs(frontier, constants)
        self._tally += tally_of(logits, self.reference.dense_logits(chunk), targets)

    def _refresh_weights(self) -> None:
        """Prepare changed weights, and walk the kept activations to the earliest changed layer, or drop them."""
        if self.dataset is None:
            return
        replay, asked = self.reference.replay, self._asked()
        changed = [n for n in asked.keys() | self._weights.keys() if self._weights.get(n, (None,))[0] != asked.get(n)]
        if not changed:
            return
        self._position = min(replay.positions[name] for name in changed)
        if self._frontiers and self._frontiers[0].position > self._position:
            self._frontiers = []
        constants = replay.constants_with({name: weight for name, (_, weight) in self._weights.items()})
        with torch.inference_mode():
            for frontier in self._frontiers:
                replay.advance(frontier, self._position, constants)
        masks = masks_for(self.model, self._only(set(changed) & asked.keys()), ranking=self.ranking)
        for name in changed:
            self._weights.pop(name, None)
            if name in asked:
                self._weights[name] = (asked[name], replay.weight(name, masks[name]))

    def _asked(self) -> dict[str, object]:
        """Return for each pruned layer what its mask depends on."""
        wishes = {name: wish for name, wish in self.plan.layers.items() if wish.sparsity > 0}
        if self.plan.scope == "layer":
            return dict(wishes)
        everything = tuple(sorted((name, wish.model_dump_json()) for name, wish in wishes.items()))
        return dict.fromkeys(wishes, everything)

    def _only(self, names: set[str]) -> Plan:
        if self.plan.scope == "model":
            return self.plan
        return self.plan.model_copy(update={"layers": {name: self.plan.layers[name] for name in names}})
