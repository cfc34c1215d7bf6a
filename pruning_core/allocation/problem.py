"""What every allocation is told: model, data, wish, the present plan; and what it may ask for, computed once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from pruning_core.allocation.curves import Curve
from pruning_core.allocation.timing import Timings
from pruning_core.apply import changes_for, kept_weights, masked_form, plan_for, rows_of
from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import Cancelled, DataError, GranularityError, PlanError, PruningError
from pruning_core.evaluate import IsCancelled, Outcome, predict
from pruning_core.metrics import METRICS, Measurement
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan, options_of
from pruning_core.ranking import Ranking, why_not
from pruning_core.sensitivity.cells import Sweep
from pruning_core.sensitivity.limits import merged
from pruning_core.sensitivity.sweep import DEFAULT_LEVELS, Progress, Request, sweep

LEVELS = (*DEFAULT_LEVELS, 0.95, 0.98)


@dataclass(frozen=True, eq=False)
class Problem:
    """What every allocation is told; `wish` says how layers are cut and scored (its sparsity is not read).

    `ways` are the wishes of layers that are cut or scored in another way; an allocation changes their sparsity alone.
    `plan` is the present one: its options hold, and its locked layers and those in `overrides` (set by hand) keep their
    present wish.
    """

    model: Model
    dataset: Dataset | None = None
    wish: LayerPlan = field(default_factory=LayerPlan)
    scope: str = "layer"
    samples: int | None = None  # validation examples to choose on; None: all
    levels: tuple[float, ...] = LEVELS
    on_progress: Callable[[Progress], None] = lambda _: None
    cancelled: IsCancelled = lambda: False
    plan: Plan | None = None
    overrides: frozenset[str] = frozenset()
    minimum: Mapping[str, float] = field(default_factory=dict)  # layer -> least sparsity
    maximum: Mapping[str, float] = field(default_factory=dict)  # layer -> largest sparsity
    least_gain: float = 0.0  # layers that can save less than this share of the model's whole stay dense
    ways: Mapping[str, LayerPlan] = field(default_factory=dict)  # layer -> its wish, where that is not `wish`
    measured: Sweep | None = None  # a sweep of the same wishes that is there already
    ranked: Ranking | None = None  # scores and ranks that are there already
    on_plan: Callable[[Measurement], None] = lambda _: None  # told the joint drop of each plan that was measured

    @cached_property
    def ranking(self) -> Ranking:
        """Scores and ranks under the options of the present plan, shared by all that is tried."""
        ranked = self.ranked or Ranking(self.model, self.dataset.calibration if self.dataset else None)
        return ranked.under(self.plan or Plan())

    @cached_property
    def validation(self) -> EvalData:
        """The examples that the choice is made on."""
        if self.dataset is None:
            raise DataError("this allocation measures, so it needs data; uniform works without")
        data = self.dataset.validation.take(self.samples)
        check_fits(data, self.model.graph)
        return data

    @cached_property
    def sweep(self) -> Sweep:
        """Each layer alone at each level, measured once."""
        if self.measured is not None:
            return self.measured
        requests, found = self.requests(), list[Sweep]()
        for i, request in enumerate(requests):
            found.append(self._swept(request, i, len(requests)))
        return merged(found)

    def requests(self) -> tuple[Request, ...]:
        """Return the sweeps that measure every layer as it is cut and scored, one for each way."""
        layers: dict[str, list[str]] = {}
        requests: dict[str, Request] = {}
        for name in self.model.graph.by_name:
            wish = self.wish_at(0.0, name)
            how: dict[str, Any] = {"settings": dict(wish.settings), **options_of(self.ranking)}
            request = Request(wish.granularity, wish.criterion, self.levels, exact=True, **how)
            layers.setdefault(repr(request), []).append(name)
            requests[repr(request)] = request
        if len(requests) == 1:
            return tuple(requests.values())
        return tuple(replace(request, layers=tuple(layers[way])) for way, request in requests.items())

    def _swept(self, request: Request, before: int, n_sweeps: int) -> Sweep:
        def note(progress: Progress) -> None:
            self.on_progress(replace(progress, share=(before + progress.share) / n_sweeps))

        hooks: dict[str, Any] = {"on_progress": note, "cancelled": self.cancelled}
        found = sweep(self.model, self.validation, request, ranking=self.ranking, **hooks)
        if self.cancelled():
            raise Cancelled(f"the sweep was stopped after {len(found.cells)} cells")
        return found

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The curve of each row of the sweep."""
        names = dict.fromkeys(cell.layer for cell in self.sweep.cells)
        return {name: Curve.of(self.sweep.of_layer(name)) for name in names}

    @cached_property
    def timings(self) -> Timings:
        """What layers take at smaller shapes, each timed when first asked for."""
        return Timings(self.model, self.cancelled)

    @cached_property
    def dense_logits(self) -> Tensor:
        """Answers of the dense model to the validation examples, (n, classes)."""
        return predict(self.model.module, self.validation, cancelled=self.cancelled)

    def drop_of(self, plan: Plan) -> Measurement:
        """Measure the accuracy drop of `plan` on the validation examples, paired with the dense model."""
        change = changes_for(self.model, plan, ranking=self.ranking)
        pruned = masked_form(self.model, change, self.ranking.under(plan).coupling)
        logits = predict(pruned, self.validation, cancelled=self.cancelled)
        found = METRICS["accuracy_drop"](Outcome(logits, self.validation.labels(), self.dense_logits))
        self.on_plan(found)
        return found

    @property
    def steps(self) -> tuple[float, ...] | None:
        """The only sparsities that the wish's granularity knows (0 and 0.5 for 2:4); None where any will do."""
        why = None
        for layer in self.model.graph.layers:
            try:
                return self.ranking.layout(layer.name, self.wish_at(0.0, layer.name)).steps
            except GranularityError as error:
                why = why or error
        raise why or PlanError(f"'{self.model.name}' has no prunable layer")

    def wish_at(self, sparsity: float, name: str | None = None) -> LayerPlan:
        """Return the wish for layer `name` at `sparsity`; the common one where none is named."""
        wish = self.ways.get(name, self.wish) if name else self.wish
        return wish.model_copy(update={"sparsity": sparsity, "locked": False})

    @cached_property
    def held(self) -> dict[str, LayerPlan]:
        """Layers that no allocation touches, with their present wish: locked ones and those set by hand."""
        present = self.plan or Plan()
        locked = [name for name, wish in present.layers.items() if wish.locked]
        names = [layer.name for layer in self.model.graph.layers if layer.name in {*locked, *self.overrides}]
        for name in {*self.overrides, *self.minimum, *self.maximum, *self.ways, *locked}:
            self.model.graph.layer(name)  # an unknown name is refused
        return {name: present.layer(name) for name in names}

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Layers to choose for, in the model's order: the wish fits, nobody holds them, one for each coupled row."""
        names = self.model.graph.by_name
        if names and len(self._refusals) == len(names):
            raise next(iter(self._refusals.values()))
        found = tuple(name for name in names if name not in self.misfits and name not in self.held)
        if not found:
            raise PlanError(f"'{self.model.name}' has no layer left to choose for; unlock one")
        return found

    @cached_property
    def _refusals(self) -> dict[str, PruningError]:
        found = {name: why_not(self.ranking, name, self.wish_at(0.0, name)) for name in self.model.graph.by_name}
        return {name: error for name, error in found.items() if error}

    @cached_property
    def misfits(self) -> dict[str, str]:
        """Why each layer that is not held has no share of its own."""
        fitting = [name for name in self.model.graph.by_name if name not in self._refusals]
        why = {name: str(error) for name, error in self._refusals.items()}
        leads = rows_of({name: self.wish_at(0.0, name) for name in fitting}, self.ranking)
        for name in fitting:
            members = self.members(name)
            held = [member for member in members if member in self.held]
            if held:
                why[name] = f"{name}: its channels are coupled with those of '{held[0]}', which stays as it is"
            elif name not in leads:
                lead = next((member for member in members if member in leads), members[0])
                why[name] = f"{name}: its channels are coupled with those of '{lead}', which stands for both"
        return {name: reason for name, reason in why.items() if name not in self.held}

    def members(self, name: str) -> tuple[str, ...]:
        """Return the layers that a wish for layer `name` cuts alike: itself, or its coupled row."""
        units = self.ranking.units(name, self.wish_at(0.0, name))
        return (name,) if units is None else units.members

    def n_weights(self, name: str) -> int:
        """Return the weights that compete in the row of layer `name`."""
        layout = self.ranking.layout(name, self.wish_at(0.0, name))
        return int(layout.block_sizes.sum()) * layout.n_arenas

    def share_removed(self, name: str, wish: LayerPlan) -> float:
        """Return the share of its blocks that layer `name` loses by `wish`."""
        return 1 - self.ranking.n_keep(name, wish) / self.ranking.layout(name, wish).blocks_per_arena

    def planned(self, wishes: Mapping[str, LayerPlan]) -> Plan:
        """Return the plan of `wishes` and of what is held, in the model's order, each layer with its own sparsity."""
        held = {name: wish for name, wish in self.held.items() if wish.sparsity > 0 or wish.locked}
        dense = {name: self.wish_at(0.0, name) for name in self.ways}  # what is not cut is still wished for in its way
        together = dense | held | dict(wishes)
        layers = {name: together[name] for name in self.model.graph.by_name if name in together}
        if self.plan is None:
            return plan_for(self.model, layers=layers)
        return self.plan.model_copy(update={"layers": layers, "scope": "layer"})

    def kept(self, plan: Plan) -> dict[str, int]:
        """Return the weights kept of each layer that loses some."""
        return kept_weights(self.model, plan, self.ranking)

    def n_removed(self, plan: Plan) -> int:
        """Weights that `plan` removes."""
        layers = self.model.graph.by_name
        return sum(layers[name].n_weights - kept for name, kept in self.kept(plan).items())
