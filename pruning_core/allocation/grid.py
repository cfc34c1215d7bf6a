"""The grid of measured cells, as rows of a knapsack: what each cell costs, and what it was seen to lose."""

from dataclasses import dataclass

from pruning_core.allocation.costs import Cost
from pruning_core.allocation.curves import Curve
from pruning_core.allocation.knapsack import Choice, Row, least_value
from pruning_core.allocation.problem import Problem
from pruning_core.allocation.seam import Allocation
from pruning_core.allocation.sensitivity import bounds, left_out, predicted, rows
from pruning_core.errors import PlanError

EXACT = 10**12  # drops are whole multiples of 1 / EXACT
TIE = 1e-7  # of a doubt: too little to change which drop is less, enough to choose among equal ones


@dataclass(frozen=True)
class Cells:
    """One row: dense (where it may be) and the measured sparsities; what the model costs with only this row cut."""

    layer: str
    sparsities: tuple[float, ...]
    costs: tuple[int, ...]
    drops: tuple[int, ...]  # fitted, in 1 / EXACT
    doubts: tuple[int, ...]  # how far the 95 % interval of each drop reaches above it, in 1 / EXACT

    def upto(self, cap: float) -> "Cells":
        """Return the row without its sparsities above `cap`, the lowest one always kept."""
        n = max(1, sum(sparsity <= cap for sparsity in self.sparsities))
        return Cells(self.layer, self.sparsities[:n], self.costs[:n], self.drops[:n], self.doubts[:n])

    def with_caution(self, caution: float) -> tuple[int, ...]:
        """Return the drops, each raised by this share of its doubt."""
        return tuple(drop + round(caution * doubt) for drop, doubt in zip(self.drops, self.doubts, strict=True))


@dataclass(frozen=True, eq=False)
class Grid:
    """All rows; `held` is what the model costs when only the held layers are cut."""

    problem: Problem
    cost: Cost
    held: int
    rows: tuple[Cells, ...]

    @staticmethod
    def of(problem: Problem, cost: Cost) -> "Grid":
        """Count what each cell costs."""
        held = cost(problem, problem.planned({}))
        return Grid(problem, cost, held, tuple(_cells(problem, cost, problem.curves[name]) for name in rows(problem)))

    def least_drop(self, limit: int) -> tuple[Allocation, Choice] | None:
        """Return the plan of least predicted drop whose cost, rows added up, is at most `limit`; None: none is.

        Of plans of equal predicted drop it is the one whose cells are in the least doubt.
        """
        table = [Row(_above_least(row.costs), row.with_caution(TIE)) for row in self.rows]
        found = least_value(table, limit - self.least)
        return None if found is None else (self.allocation(found), found)

    def least_cost(self, drop: float, caution: float = 0.0, cap: float = 1.0) -> Allocation:
        """Return the plan of least cost whose predicted drop, raised by `caution` x its doubt, is at most `drop`.

        No sparsity is above `cap`.
        """
        cells = [row.upto(cap) for row in self.rows]
        drops = [row.with_caution(caution) for row in cells]
        least = sum(row[0] for row in drops)  # what minima ask for must be borne
        limit = max(least, round(drop * EXACT) + len(cells))
        found = least_value([Row(d, _above_least(row.costs)) for d, row in zip(drops, cells, strict=True)], limit)
        assert found is not None  # the first cells fit
        return self.allocation(found)

    @property
    def least(self) -> int:
        """The cost with every row cut most, rows added up."""
        return self.held + sum(min(row.costs) - self.held for row in self.rows)

    def allocation(self, choice: Choice) -> Allocation:
        """Return the plan of a choice."""
        problem = self.problem
        chosen = {row.layer: row.sparsities[option] for row, option in zip(self.rows, choice.options, strict=True)}
        wishes = {name: problem.wish_at(level, name) for name, level in chosen.items() if level > 0}
        why_dense = left_out(problem) | {row.layer: _why_dense(row) for row in self.rows if chosen[row.layer] == 0}
        return predicted(problem, Allocation(problem.planned(wishes), why_dense))


def _above_least(costs: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(cost - min(costs) for cost in costs)


def _cells(problem: Problem, cost: Cost, curve: Curve) -> Cells:
    least, most = bounds(problem, curve.layer)
    levels = [level for level in (0.0, *curve.sparsities) if least <= level <= most]
    if not levels:
        raise PlanError(
            f"{curve.layer}: no measured level lies from {least:g} to {most:g}; there are "
            f"{', '.join(f'{level:g}' for level in curve.sparsities)}"
        )
    wishes = [{} if level == 0 else {curve.layer: problem.wish_at(level, curve.layer)} for level in levels]
    costs = tuple(cost(problem, problem.planned(wish)) for wish in wishes)
    drops = tuple(round(curve.loss_at(level) * EXACT) for level in levels)
    doubts = tuple(round((curve.interval_at(level)[1] - curve.loss_at(level)) * EXACT) for level in levels)
    return Cells(curve.layer, tuple(levels), costs, drops, doubts)


def _why_dense(row: Cells) -> str:
    if len(row.sparsities) == 1:
        return f"{row.layer}: its largest sparsity allows no cut"
    drop = row.drops[1] / EXACT
    least = f"sparsity {row.sparsities[1]:g} alone is predicted to lose {drop:.4f}"
    return f"{row.layer}: cutting others loses less or is surer; {least}"
