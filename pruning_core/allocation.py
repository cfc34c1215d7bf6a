"""SEAM allocations: how one wish for the whole model is split over its layers.

A member is a function `(problem, *, settings) -> Allocation`. Adding one: write the function, decorate it with
`@allocation(...)`. Drops are fractions of accuracy, positive where accuracy is lost.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import floor, inf
from typing import Annotated, Any

import numpy as np
from torch import Tensor

from pruning_core.apply import masked_copy, masks_for, plan_for, uniform_plan
from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import Cancelled, DataError, GranularityError, PlanError
from pruning_core.evaluate import IsCancelled, Outcome, predict
from pruning_core.metrics import METRICS, Measurement
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.registry import Registry, Setting, SettingSpec, check_settings, settings_of
from pruning_core.sensitivity.cells import Cell, Sweep, largest_within
from pruning_core.sensitivity.sweep import DEFAULT_LEVELS, Progress, Request, sweep

LEVELS = (*DEFAULT_LEVELS, 0.95, 0.98)
HALVINGS = 12  # of the tolerance's range in a search
ROUNDING = 1000  # chosen sparsities are multiples of 1 / ROUNDING, rounded down
BUDGET = re.compile(r"\s*accuracy_drop\s*<=\s*(\S+)\s*")


@dataclass(frozen=True)
class Allocation:
    """A plan, why each layer without a share stays dense, and what the plan was predicted and measured to cost."""

    plan: Plan
    why_dense: dict[str, str]
    predicted_drop: float | None = None  # sum of the single layers' drops, read off the sweep
    measured_drop: Measurement | None = None  # all layers together, on the validation split


@dataclass(frozen=True, eq=False)
class Problem:
    """What every allocation is told; `wish` says how layers are cut and scored (its sparsity is not read)."""

    model: Model
    dataset: Dataset | None = None
    wish: LayerPlan = field(default_factory=LayerPlan)
    scope: str = "layer"
    samples: int | None = None  # validation examples to choose on; None: all
    levels: tuple[float, ...] = LEVELS
    on_progress: Callable[[Progress], None] = lambda _: None
    cancelled: IsCancelled = lambda: False

    @cached_property
    def ranking(self) -> Ranking:
        """Scores and ranks, shared by all that is tried."""
        return Ranking(self.model, self.dataset.calibration if self.dataset else None)

    @cached_property
    def validation(self) -> EvalData:
        """The examples that the choice is made on."""
        if self.dataset is None:
            raise DataError("this allocation measures, so it needs data; uniform works without")
        data = self.dataset.validation.take(self.samples)
        check_fits(data, self.model.graph.input_shapes[0], self.model.graph.output_shape[-1])
        return data

    @cached_property
    def sweep(self) -> Sweep:
        """Each layer alone at each level, measured once."""
        wish = self.wish
        request = Request(wish.granularity, wish.criterion, self.levels, settings=dict(wish.settings))
        hooks: dict[str, Any] = {"on_progress": self.on_progress, "cancelled": self.cancelled}
        found = sweep(self.model, self.validation, request, ranking=self.ranking, **hooks)
        if self.cancelled():
            raise Cancelled(f"the sweep was stopped after {len(found.cells)} cells")
        return found

    @cached_property
    def dense_logits(self) -> Tensor:
        """Answers of the dense model to the validation examples, (n, classes)."""
        return predict(self.model.module, self.validation, cancelled=self.cancelled)

    def drop_of(self, plan: Plan) -> Measurement:
        """Measure the accuracy drop of `plan` on the validation examples, paired with the dense model."""
        pruned = masked_copy(self.model, masks_for(self.model, plan, ranking=self.ranking))
        logits = predict(pruned, self.validation, cancelled=self.cancelled)
        return METRICS["accuracy_drop"](Outcome(logits, self.validation.labels(), self.dense_logits))

    @property
    def steps(self) -> tuple[float, ...] | None:
        """The only sparsities that the wish's granularity knows (0 and 0.5 for 2:4); None where any will do."""
        why_not = None
        for layer in self.model.graph.layers:
            try:
                return self.ranking.layout(layer.name, self.wish).steps
            except GranularityError as error:
                why_not = why_not or error
        raise why_not or PlanError(f"'{self.model.name}' has no prunable layer")

    def wish_at(self, sparsity: float) -> LayerPlan:
        """Return the wish for one layer at `sparsity`."""
        return self.wish.model_copy(update={"sparsity": sparsity})

    def n_removed(self, wishes: Mapping[str, LayerPlan]) -> int:
        """Weights that `wishes` remove."""
        layers = self.model.graph.by_name
        return sum(layers[name].n_weights - self.ranking.n_kept_weights(name, wish) for name, wish in wishes.items())


AllocationFunction = Callable[..., Allocation]


@dataclass(frozen=True)
class Allocator:
    """One member of the seam; calling it allocates."""

    name: str
    label: str
    function: AllocationFunction
    settings: dict[str, SettingSpec] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The first line of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def __call__(self, problem: Problem, **settings: Any) -> Allocation:
        """Split the wish over the layers, with checked settings."""
        return self.function(problem, **check_settings(self.settings, settings))


ALLOCATIONS: Registry[Allocator] = Registry("allocation")


def allocation(name: str, label: str) -> Callable[[AllocationFunction], AllocationFunction]:
    """Add an allocation to the seam."""

    def add(function: AllocationFunction) -> AllocationFunction:
        ALLOCATIONS.add(name, Allocator(name, label, function, settings_of(function)))
        return function

    return add


def allocate(name: str, problem: Problem, **settings: Any) -> Allocation:
    """Split the wish of `problem` over its layers by the allocation called `name`."""
    return ALLOCATIONS[name](problem, **settings)


def parse_budget(text: str) -> float:
    """Return X of `accuracy_drop<=X`, a fraction from 0 to 1; anything else is refused with what works."""
    match = BUDGET.fullmatch(text)
    try:
        limit = float(match[1]) if match else -1.0
    except ValueError:
        limit = -1.0
    if not 0 <= limit <= 1:
        works = "'accuracy_drop<=0.01' works: a fraction from 0 to 1 of the validation examples"
        raise PlanError(f"the budget '{text}' is not understood; {works}")
    return limit


@allocation("uniform", label="Uniform")
def uniform(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """The same sparsity for every layer that it fits (the baseline in Blalock et al. 2020, arXiv:2003.03033)."""
    return Allocation(*uniform_plan(problem.model, problem.wish_at(sparsity), problem.scope, problem.ranking))


@allocation("sensitivity", label="By sensitivity")
def sensitivity(problem: Problem, *, tolerance: Annotated[float, Setting(0, 1, step=0.001)] = 0.01) -> Allocation:
    """Each layer as far as its drop, pruned alone, stays within a tolerance (Han et al. 2015, arXiv:1506.02626)."""
    return _planned(problem, tolerance)


@allocation("budget", label="Accuracy budget")
def budget(problem: Problem, *, accuracy_drop: Annotated[float, Setting(0, 1, step=0.001)] = 0.01) -> Allocation:
    """As by sensitivity, with the largest tolerance whose joint drop, measured on validation, keeps within a budget.

    One number x from 0 to 2 is bisected: above 1 it is the tolerance, up to the harm of the worst cell; below 1 it
    scales down the sparsities of tolerance 0, for models in which even harmless cuts cost too much together. Of the
    plans that were measured and keep within the budget the one that removes most is taken.
    """
    problem.validation.labels()  # a refusal without targets, before the work
    harm = max(0.0, *(-cell.drop for cell in problem.sweep.cells))
    tried: dict[str, Allocation] = {}
    low, high, x = 0.0, 2.0, 2.0
    for _ in range(HALVINGS):
        found = _planned(problem, harm * max(0.0, x - 1), min(x, 1.0))
        found = tried.setdefault(found.plan.to_json(), found)
        found = tried[found.plan.to_json()] = _with_drop(problem, found)
        low, high = (x, high) if _drop(found) <= accuracy_drop else (low, x)
        x = (low + high) / 2
    within = [found for found in tried.values() if _drop(found) <= accuracy_drop]
    if not within:
        raise PlanError(f"no plan that was tried keeps the accuracy drop within {accuracy_drop:g}; raise the budget")
    return max(within, key=lambda found: problem.n_removed(found.plan.layers))


def _with_drop(problem: Problem, found: Allocation) -> Allocation:
    return found if found.measured_drop else replace(found, measured_drop=problem.drop_of(found.plan))


def _drop(found: Allocation) -> float:
    return found.measured_drop.value if found.measured_drop else inf


def _planned(problem: Problem, tolerance: float, factor: float = 1.0) -> Allocation:
    """Return `factor` times the largest sparsity of each layer whose own drop stays within `tolerance`."""
    wishes: dict[str, LayerPlan] = {}
    why_dense, predicted = dict(problem.sweep.skipped), 0.0
    for name in dict.fromkeys(cell.layer for cell in problem.sweep.cells):
        cells, steps = problem.sweep.of_layer(name), problem.ranking.layout(name, problem.wish_at(0.0)).steps
        level = factor * largest_within(cells, tolerance, steps)
        wish = problem.wish_at(_on_step(level, steps))
        if problem.n_removed({name: wish}):
            wishes[name], predicted = wish, predicted + _loss_at(cells, wish.sparsity)
        else:
            why_dense[name] = f"{name}: even its smallest cut alone costs more than {tolerance:.4g} of accuracy"
    plan = plan_for(problem.model, scope=problem.scope, layers=wishes)
    return Allocation(plan, why_dense, predicted)


def _on_step(level: float, steps: tuple[float, ...] | None) -> float:
    """Return the largest possible sparsity that is not above `level`."""
    return max((step for step in steps if step <= level), default=0.0) if steps else floor(level * ROUNDING) / ROUNDING


def _loss_at(cells: tuple[Cell, ...], sparsity: float) -> float:
    """Return the accuracy lost at `sparsity`, on the line through the cells."""
    return -float(np.interp(sparsity, [0.0, *(c.sparsity for c in cells)], [0.0, *(c.drop for c in cells)]))
