"""By budget: the best plan on the grid of measured cells, proved, under a limit on the drop or on a cost."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, sqrt
from typing import Annotated, Literal

from pruning_core.allocation.costs import COSTS, Cost
from pruning_core.allocation.grid import EXACT, Grid
from pruning_core.allocation.seam import Allocation, Problem, allocation
from pruning_core.allocation.text import DROP, Budget
from pruning_core.apply import plan_for
from pruning_core.errors import PlanError
from pruning_core.registry import Setting

TRIES = 12  # plans measured, at most, to meet a limit on the measured drop
CAUTION = (1e-3, 10.0)  # shares of an interval, from next to nothing to as good as no cut
CUTS = 40  # halvings of a limit on a cost, where coupled rows save less together than each alone


def at_sparsity(problem: Problem, sparsity: float) -> Allocation:
    """Return the plan of least predicted drop in which the free layers together lose `sparsity` of their weights."""
    fewer = round(sparsity * sum(problem.n_weights(name) for name in problem.free))
    params = COSTS["params"]
    return _least_drop(problem, params, params(problem, problem.planned({})) - fewer)


@allocation("budget", label="Budget", by_sparsity=at_sparsity)
def budget(
    problem: Problem,
    *,
    limit: Literal["accuracy_drop", "size", "macs", "latency", "params"] = "accuracy_drop",
    value: Annotated[float, Setting(0, 1, step=0.001)] = 0.01,
    least: Literal["size", "macs", "latency", "params"] = "size",
) -> Allocation:
    """The best plan on the grid of measured cells under a limit, proved: least predicted drop, or least cost.

    `value` is a fraction: of the examples for the drop, of the dense model for a cost. Under a limit on the drop the
    plan of least `least` is taken whose joint drop, measured on validation data, keeps within it.
    """
    return within(problem, Budget(limit, value), least)


def within(problem: Problem, budget: Budget, least: str = "size") -> Allocation:
    """Return the best plan within `budget`, with its joint drop measured beside the predicted one."""
    problem.validation.labels()  # a refusal without targets, before the work
    if budget.metric == DROP:
        return _least_cost(problem, COSTS[least], budget.limit)
    cost = COSTS[budget.metric]
    return _with_drop(problem, _least_drop(problem, cost, limit_of(problem, budget)))


def limit_of(problem: Problem, budget: Budget) -> int:
    """Return a limit on a cost in its own unit, a whole number."""
    dense = COSTS[budget.metric](problem, plan_for(problem.model))
    return int(budget.limit * dense + 1e-6) if budget.is_fraction else int(budget.limit)


def _least_drop(problem: Problem, cost: Cost, limit: int) -> Allocation:
    """Return the plan of least predicted drop whose counted cost is at most `limit`.

    Rows are added up. Where two rows cut one weight from both sides they save less together than that, so the limit
    for the sum is then lowered, by bisection, until the counted cost keeps within it.
    """
    grid = Grid.of(problem, cost)
    best = _counted_within(grid, limit, limit)
    low, high = grid.least, limit
    for _ in range(CUTS if best is None else 0):
        if low > high:
            break
        middle = (low + high) // 2
        tried = _counted_within(grid, middle, limit)
        best, low, high = (tried, middle + 1, high) if tried is not None else (best, low, middle - 1)
    if best is None and (best := _counted_within(grid, grid.least, limit)) is None:
        raise PlanError(_out_of_reach(grid, limit))
    return best


def _counted_within(grid: Grid, limit: int, counted: int) -> Allocation | None:
    found = grid.least_drop(limit)
    if found is None or grid.cost(grid.problem, found[0].plan) > counted:
        return None
    return found[0]


def _out_of_reach(grid: Grid, limit: int) -> str:
    problem, unit = grid.problem, grid.cost.unit
    wishes = {row.layer: problem.wish_at(row.sparsities[-1], row.layer) for row in grid.rows if row.sparsities[-1] > 0}
    least = grid.cost(problem, problem.planned(wishes))
    return (
        f"no plan on the measured levels has at most {limit:,} {unit}; the least is {least:,}, so raise the budget or "
        "measure higher levels"
    )


def _least_cost(problem: Problem, cost: Cost, limit: float) -> Allocation:
    """Return the plan of least cost whose measured drop is at most `limit`.

    Single drops do not add up exactly. Where the plan of that predicted drop measures less, the limit of the predicted
    drop is doubled, then bisected. Where it measures more, the choice was of cells that look better than they are: each
    counts with its drop and a share of its interval, and that share is bisected; then the grid is cut at lower
    sparsities. Each is solved exactly and measured.
    """
    grid = Grid.of(problem, cost)
    tried: dict[str, Allocation] = {}

    def fits(found: Allocation) -> bool:
        key = found.plan.to_json()
        tried[key] = tried.get(key) or _with_drop(problem, found)
        return _drop(tried[key]) <= limit

    if fits(grid.least_cost(limit)):
        _search_prediction(grid, limit, fits)
    else:
        _search_caution(grid, limit, fits)
        _search_cap(grid, fits)
    kept = [found for found in tried.values() if _drop(found) <= limit]
    if not kept:
        raise PlanError(f"no plan that was tried keeps the accuracy drop within {limit:g}; raise the budget")
    return min(kept, key=lambda found: (cost(problem, found.plan), _drop(found)))


def _search_prediction(grid: Grid, limit: float, fits: Callable[[Allocation], bool]) -> None:
    """Try plans of larger predicted drop."""
    low, most = limit, sum(max(row.drops) for row in grid.rows) / EXACT
    high = inf
    for _ in range(TRIES - 1):
        middle = min(most, max(2 * low, 1e-3)) if high == inf else (low + high) / 2
        low, high = (middle, high) if fits(grid.least_cost(middle)) else (low, middle)
        if low >= most:
            break


def _search_caution(grid: Grid, limit: float, fits: Callable[[Allocation], bool]) -> None:
    """Try plans of more and less caution; against a limit near zero no doubt could be weighed, so it counts as 0.01."""
    low, high = CAUTION
    for _ in range(TRIES - 1):
        middle = sqrt(low * high)
        low, high = (low, middle) if fits(grid.least_cost(max(limit, 0.01), middle)) else (middle, high)


def _search_cap(grid: Grid, fits: Callable[[Allocation], bool]) -> None:
    """Try plans without predicted drop and without the highest sparsities."""
    levels = sorted({level for row in grid.rows for level in row.sparsities})
    low, high = 0, len(levels) - 1
    while low <= high:
        middle = (low + high) // 2
        tried = grid.least_cost(0.0, cap=levels[middle])
        low, high = (middle + 1, high) if fits(tried) else (low, middle - 1)


def _with_drop(problem: Problem, found: Allocation) -> Allocation:
    return found if found.measured_drop else replace(found, measured_drop=problem.drop_of(found.plan))


def _drop(found: Allocation) -> float:
    return found.measured_drop.value if found.measured_drop else inf


__all__ = ["at_sparsity", "budget", "limit_of", "within"]
