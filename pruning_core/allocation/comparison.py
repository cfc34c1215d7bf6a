"""All allocations at one budget, side by side: what each removes, what was predicted, what was measured."""

from collections.abc import Iterable
from dataclasses import dataclass

from pruning_core.allocation.budget import limit_of, within
from pruning_core.allocation.costs import COSTS
from pruning_core.allocation.seam import ALLOCATIONS, Allocation, Problem
from pruning_core.allocation.sensitivity import predicted
from pruning_core.allocation.text import DROP, Budget
from pruning_core.errors import Cancelled, PlanError, PruningError
from pruning_core.intervals import Interval
from pruning_core.metrics import Measurement
from pruning_core.plan import Plan

HALVINGS = 12  # of the sparsity, to meet a budget on a cost


@dataclass(frozen=True)
class Comparison:
    """One allocation at the common budget, or why it cannot meet it."""

    name: str
    label: str
    plan: Plan | None = None
    n_removed: int = 0  # weights
    sparsity: float = 0.0  # of all prunable weights, measured
    sparsities: tuple[tuple[str, float], ...] = ()  # layer, share of its weights that goes; dense layers too
    predicted_drop: float | None = None  # sum of the single layers' fitted drops
    predicted_interval: Interval | None = None
    measured_drop: Measurement | None = None  # all layers together, on validation
    refusal: str | None = None


def compare_allocations(
    problem: Problem, names: Iterable[str], *, sparsity: float | None = None, budget: Budget | None = None
) -> tuple[Comparison, ...]:
    """Allocate by each of `names` at one overall sparsity of the free layers, or at one budget on a cost; measure each.

    To meet a cost, the overall sparsity of an allocation is bisected. One sweep and one set of ranks serve all.
    """
    if (sparsity is None) == (budget is None):
        raise PlanError("give an overall sparsity or a budget on a cost to compare at, one of them")
    if budget is not None and budget.metric == DROP:
        raise PlanError("allocations are compared by their drop, so the budget limits a cost: size, macs or params")
    members = [ALLOCATIONS[name] for name in dict.fromkeys(names)]  # an unknown name is refused before the work
    return tuple(_compared(problem, member.name, member.label, sparsity, budget) for member in members)


def _compared(problem: Problem, name: str, label: str, sparsity: float | None, budget: Budget | None) -> Comparison:
    try:
        found = ALLOCATIONS[name].at(problem, sparsity) if sparsity is not None else None
        found = predicted(problem, found or _meeting(problem, name, budget or Budget("size", 1)))
        measured = found.measured_drop or problem.drop_of(found.plan)
    except Cancelled:
        raise
    except PruningError as error:
        return Comparison(name, label, refusal=str(error))
    layers, kept = problem.model.graph.by_name, problem.kept(found.plan)
    shares = tuple((n, 1 - kept.get(n, layer.n_weights) / layer.n_weights) for n, layer in layers.items())
    removed = problem.n_removed(found.plan)
    return Comparison(
        name,
        label,
        found.plan,
        removed,
        removed / sum(layer.n_weights for layer in layers.values()),
        shares,
        found.predicted_drop,
        found.predicted_interval,
        measured,
    )


def _meeting(problem: Problem, name: str, budget: Budget) -> Allocation:
    """Return the allocation at the least sparsity whose counted cost is within `budget`."""
    if name == "budget":
        return within(problem, budget)
    cost, limit = COSTS[budget.metric], limit_of(problem, budget)
    low, high, best = 0.0, 1.0, None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        try:
            found = ALLOCATIONS[name].at(problem, middle)
        except PlanError:  # no layer may be emptied; fewer weights may go
            high = middle
            continue
        if cost(problem, found.plan) <= limit:
            best, high = found, middle
        else:
            low = middle
    if best is None:
        raise PlanError(f"no sparsity that {name} can give keeps {budget.metric} within {limit:,} {cost.unit}")
    return best
