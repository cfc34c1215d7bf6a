"""The grid of measured cells, as rows of a knapsack: what each cell costs, and what it was seen to lose."""

from collections.abc import Sequence
from dataclasses import dataclass

from pruning_core.allocation.costs import Cost
from pruning_core.allocation.curves import Curve
from pruning_core.allocation.knapsack import Choice, Row, least_value
from pruning_core.allocation.problem import Problem
from pruning_core.allocation.seam import Allocation
from pruning_core.allocation.sensitivity import bounds, left_out, predicted, rows
from pruning_core.errors import PlanError

EXACT = 10**12  # drops are whole multiples of 1 / EXACT


@dataclass(frozen=True)
class Cells:
    """One row: dense (where it may be) and the measured sparsities; what the model costs with only this row cut."""

    layer: str
    sparsities: tuple[float, ...]
    costs: tuple[int, ...]
    drops: tuple[int, ...]  # fitted, in 1 / EXACT

    def upto(self, cap: float) -> "Cells":
        """Return the row without its sparsities above `cap`, the lowest one always kept."""
        kept = [i for i, sparsity in enumerate(self.sparsities) if i == 0 or sparsity <= cap]
        return Cells(self.layer, *(tuple(c[i] for i in kept) for c in (self.sparsities, self.costs, self.drops)))  # type: ignore[arg-type]


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
        """Return the plan of least predicted drop whose cost, rows added up, is at most `limit`; None: none is."""
        table = [Row(_above_least(row.costs), row.drops) for row in self.rows]
        found = least_value(table, limit - self.least)
        return None if found is None else (self.allocation(found, self.rows), found)

    def least_cost(self, drop: float, cap: float = 1.0) -> Allocation:
        """Return the plan of least cost whose predicted drop is at most `drop`, with no sparsity above `cap`."""
        cells = tuple(row.upto(cap) for row in self.rows)
        least = sum(row.drops[0] for row in cells)  # what minima ask for must be borne
        limit = max(least, round(drop * EXACT) + len(cells))
        found = least_value([Row(row.drops, _above_least(row.costs)) for row in cells], limit)
        assert found is not None  # the first cells fit
        return self.allocation(found, cells)

    @property
    def least(self) -> int:
        """The cost with every row cut most, rows added up."""
        return self.held + sum(min(row.costs) - self.held for row in self.rows)

    def allocation(self, choice: Choice, cells: Sequence[Cells]) -> Allocation:
        """Return the plan of a choice."""
        problem = self.problem
        chosen = {row.layer: row.sparsities[option] for row, option in zip(cells, choice.options, strict=True)}
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
    return Cells(curve.layer, tuple(levels), costs, tuple(round(curve.loss_at(level) * EXACT) for level in levels))


def _why_dense(row: Cells) -> str:
    if len(row.sparsities) == 1:
        return f"{row.layer}: its largest sparsity allows no cut"
    drop = row.drops[1] / EXACT
    return (
        f"{row.layer}: cutting others costs less; sparsity {row.sparsities[1]:g} alone is predicted to lose {drop:.4f}"
    )
