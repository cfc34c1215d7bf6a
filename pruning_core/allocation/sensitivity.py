"""By sensitivity: each layer as far as it goes alone."""

from collections.abc import Callable
from dataclasses import replace
from math import hypot
from typing import Annotated

from pruning_core.allocation.curves import on_step
from pruning_core.allocation.seam import Allocation, Problem, allocation
from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan
from pruning_core.registry import Setting

HALVINGS = 20  # of the way between two plans
CLOSE = 1e-9  # tolerances that are the same

Levels = dict[str, float]  # layer -> sparsity


def at_sparsity(problem: Problem, sparsity: float) -> Allocation:
    """Return the allocation of the least tolerance at which the free layers together lose `sparsity` of their weights.

    One tolerance for all layers is bisected, as the allocators of AIMET and PaddleSlim do for a cost. Where curves are
    flat the sparsity jumps at some tolerance; then all layers stop at the same share of the way from before to after.
    """
    total = sum(problem.n_weights(name) for name in rows(problem))

    def reaches(levels: Levels) -> bool:
        return _removed(problem, levels) >= sparsity * total - CLOSE

    low, high = 0.0, max((curve.fitted[-1] for curve in problem.curves.values()), default=0.0)
    before, after = dict.fromkeys(rows(problem), 0.0), levels_within(problem, high)
    if not reaches(after):
        most = _removed(problem, after) / max(1, total)
        raise PlanError(f"the measured levels reach a sparsity of {most:.4g}; {sparsity:g} needs higher ones")
    if reaches(levels := levels_within(problem, low)):
        after, high = levels, low
    while high - low > CLOSE:
        middle = (low + high) / 2
        levels = levels_within(problem, middle)
        low, high, before, after = (low, middle, before, levels) if reaches(levels) else (middle, high, levels, after)
    return _planned(problem, _between(before, after, reaches), high)


@allocation("sensitivity", label="By sensitivity", by_sparsity=at_sparsity)
def sensitivity(problem: Problem, *, tolerance: Annotated[float, Setting(0, 1, step=0.001)] = 0.01) -> Allocation:
    """Each layer as far as its drop, pruned alone, stays within a tolerance (Han et al. 2015, arXiv:1506.02626).

    The tolerance is met on a monotone fit of the measured drops; the raw cells stand beside it in the answer.
    """
    return planned(problem, tolerance)


def planned(problem: Problem, tolerance: float) -> Allocation:
    """Return the plan in which each free layer's fitted drop alone is at most `tolerance`."""
    return _planned(problem, levels_within(problem, tolerance), tolerance)


def levels_within(problem: Problem, tolerance: float) -> Levels:
    """Return the largest sparsity of each free layer at which its fitted drop is at most `tolerance`, in its bounds."""
    levels = {}
    for name in rows(problem):
        steps, (least, most) = _steps(problem, name), bounds(problem, name)
        levels[name] = max(least, min(problem.curves[name].largest_within(tolerance, steps), most))
    return levels


def _planned(problem: Problem, levels: Levels, tolerance: float) -> Allocation:
    wishes: dict[str, LayerPlan] = {}
    why_dense = left_out(problem)
    for name, level in levels.items():
        wish = problem.wish_at(on_step(level, _steps(problem, name)), name)
        if problem.share_removed(name, wish) > 0:
            wishes[name] = wish
        else:
            why_dense[name] = f"{name}: even its smallest cut alone costs more than {tolerance:.4g} of accuracy"
    return predicted(problem, Allocation(problem.planned(wishes), why_dense))


def _between(before: Levels, after: Levels, reaches: Callable[[Levels], bool]) -> Levels:
    """Return the levels at the least share of the way from `before` to `after` that reaches what is asked for."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        low, high = (low, share) if reaches(_mixed(before, after, share)) else (share, high)
    return _mixed(before, after, high)


def _mixed(before: Levels, after: Levels, share: float) -> Levels:
    return {name: (1 - share) * before[name] + share * after[name] for name in after}


def _steps(problem: Problem, name: str) -> tuple[float, ...] | None:
    return problem.ranking.layout(name, problem.wish_at(0.0, name)).steps


def rows(problem: Problem) -> tuple[str, ...]:
    """Return the layers to choose for that were measured and have enough to gain."""
    measured = [name for name in problem.free if name in problem.curves]
    return tuple(name for name in measured if _gain(problem, name) >= problem.least_gain)


def left_out(problem: Problem) -> dict[str, str]:
    """Return why each layer that is neither chosen for nor held stays dense."""
    why = {**problem.sweep.skipped, **problem.misfits}
    for name in problem.free:
        if name in problem.curves and (gain := _gain(problem, name)) < problem.least_gain:
            why[name] = f"{name}: it holds {gain:.2%} of the weights; layers below {problem.least_gain:.2%} stay dense"
    return {name: reason for name, reason in why.items() if name not in problem.held}


def bounds(problem: Problem, name: str) -> tuple[float, float]:
    """Return the least and the largest sparsity that layer `name` may have."""
    least, most = problem.minimum.get(name, 0.0), problem.maximum.get(name, 1.0)
    if not 0 <= least <= most <= 1:
        raise PlanError(f"{name}: a least sparsity of {least:g} and a largest of {most:g} leave no choice from 0 to 1")
    return least, most


def predicted(problem: Problem, found: Allocation) -> Allocation:
    """Return the allocation with the sum of its layers' fitted drops; held layers are read off their curves too."""
    curves, layers = problem.curves, found.plan.layers
    levels = {name: layers[name].sparsity for name in curves if name in layers}
    drop = sum(curves[name].loss_at(level) for name, level in levels.items())
    ends = [(curves[name].loss_at(level), *curves[name].interval_at(level)) for name, level in levels.items()]
    below, above = hypot(*(loss - low for loss, low, _ in ends)), hypot(*(high - loss for loss, _, high in ends))
    return replace(
        found,
        predicted_drop=drop,
        predicted_interval=(drop - below, drop + above),
        curves=tuple(curves.values()),
    )


def _gain(problem: Problem, name: str) -> float:
    layers = problem.model.graph.by_name
    return sum(layers[m].n_weights for m in problem.members(name)) / sum(x.n_weights for x in layers.values())


def _removed(problem: Problem, levels: Levels) -> float:
    """Return the weights that rows lose at these levels."""
    wishes = {name: problem.wish_at(on_step(level, _steps(problem, name)), name) for name, level in levels.items()}
    return sum(problem.share_removed(name, wish) * problem.n_weights(name) for name, wish in wishes.items())
