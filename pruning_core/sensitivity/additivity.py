"""Additivity: the sum of what rows lose alone beside what the plan really loses, on the same examples."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch

from pruning_core.apply import rows_of
from pruning_core.errors import Cancelled
from pruning_core.evaluate import Progress
from pruning_core.plan import LayerPlan, Plan, options_of
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.joint import Effect, Joint, Sums
from pruning_core.sensitivity.limits import drop_at
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.request import Request


@dataclass(frozen=True)
class Additivity:
    """Changes of accuracy (of agreement without labels) on the same n examples; negative is worse."""

    n: int
    labelled: bool
    singles: dict[str, Effect]  # of each row pruned alone, by the first of its layers
    predicted: Effect  # the sum of the singles
    measured: Effect  # all rows together
    gap: Effect  # measured minus predicted

    @property
    def sentence(self) -> str:
        """Whether single drops add up here."""
        what = "accuracy" if self.labelled else "agreement"
        low, high = self.gap.interval
        verdict = "as the single changes add up to"
        if not low <= 0 <= high:
            verdict = "more than the single changes add up to" if high < 0 else "less than they add up to"
        figures = f"{_points(self.measured)} of {what} together, {_points(self.predicted)} as a sum"
        return f"{figures}: the layers lose {verdict} (n {self.n:,})."


def additivity(
    reference: Reference,
    plan: Plan,
    *,
    samples: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Additivity:
    """Measure each row of `plan` alone and all together, on the first `samples` examples of the validation split.

    Progress is in examples. When cancelled, the examples measured so far count.
    """
    joint = Joint(reference, plan, samples)
    every = joint.together(joint.rows)
    singles = dict.fromkeys(joint.changed, Sums())
    predicted = measured = gap = Sums()
    for chunk in joint.chunks():
        if cancelled():
            break
        with torch.inference_mode():
            together = chunk.answers.outcomes(joint.replay.fork_changed(chunk.frontier, every))
            total = torch.zeros(len(chunk.answers), dtype=torch.float64)
            for name, changed in joint.changed.items():
                joint.replay.advance(chunk.frontier, joint.position(name))
                change = chunk.answers.outcomes(joint.replay.fork_changed(chunk.frontier, changed)).change
                singles[name] += Sums.of(change)
                total += change
        predicted += Sums.of(total)
        measured += Sums.of(together.change)
        gap += Sums.of(together.change - total)
        on_progress(measured.n, joint.n)
    if not measured.n:
        raise Cancelled("stopped before anything was measured")
    effects = {name: sums.of_counts for name, sums in singles.items()}
    return Additivity(measured.n, joint.labelled, effects, predicted.of_counts, measured.of_counts, gap.of_counts)


@dataclass(frozen=True)
class Prediction:
    """The sum of what single cells of a sweep say of a plan's rows; an estimate, nothing was run for it."""

    change: Effect  # of accuracy; negative is worse. The interval is as if rows erred independently
    missing: dict[str, str]  # row -> why the sweep says nothing of it; its change is not in the sum


def predicted_change(sweep: Sweep, plan: Plan, ranking: Ranking) -> Prediction:
    """Add up the changes of the plan's rows at their sparsities, on the lines through the cells of `sweep`."""
    ranking = ranking.under(plan)
    wishes = {name: wish for name, wish in plan.layers.items() if wish.sparsity > 0}
    missing: dict[str, str] = {}
    total = squares = 0.0
    for name, wish in rows_of(wishes, ranking).items():
        units = ranking.units(name, wish)
        cells = next(filter(None, map(sweep.of_layer, (name,) if units is None else units.members)), ())
        if why := _not_swept(sweep, plan, wish, cells):
            missing[name] = why
            continue
        change, half = drop_at(cells, wish.sparsity)
        total, squares = total + change, squares + half * half
    return Prediction(Effect(total, (total - sqrt(squares), total + sqrt(squares))), missing)


def _not_swept(sweep: Sweep, plan: Plan, wish: LayerPlan, cells: tuple[Cell, ...]) -> str | None:
    """Return why the cells of a row say nothing of a wish, or None."""
    names = (sweep.granularity, sweep.criterion), (wish.granularity, wish.criterion)
    if sweep.target != "weights" or names[0] != names[1]:
        target = "" if sweep.target == "weights" else f" of {sweep.target}"
        return f"the sweep{target} is by {names[0][0]} and {names[0][1]}, the plan by {names[1][0]} and {names[1][1]}"
    options = {name: value for name, value in options_of(plan).items() if value != getattr(Request, name)}
    if sweep.settings != wish.settings or sweep.options != options or not wish.update_weights:
        return "the sweep has other settings than the plan"
    return None if cells else "the sweep has no cell of it"


def _points(effect: Effect) -> str:
    return f"{100 * effect.value:+.1f} points"
