"""What one layer loses at each sparsity: the measured cells, and beside them a fit that never falls."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from pruning_core.intervals import Interval
from pruning_core.sensitivity.cells import Cell

ROUNDING = 1000  # sparsities between cells are multiples of 1 / ROUNDING, rounded down


@dataclass(frozen=True)
class Curve:
    """One row of a sweep. Losses are fractions of accuracy, positive where accuracy is lost.

    `fitted` is the monotone fit of the losses: least squares weighted by the examples of each cell, from dense (exactly
    0) on, so a cell that seems to gain accuracy by chance gains nothing here.
    """

    layer: str
    cells: tuple[Cell, ...]  # raw, by sparsity
    fitted: tuple[float, ...]  # loss at each cell, at least 0, never falling

    @staticmethod
    def of(cells: Sequence[Cell]) -> "Curve":
        """Fit the cells of one layer."""
        ordered = tuple(sorted(cells, key=lambda cell: cell.sparsity))
        fitted = monotone([-cell.drop for cell in ordered], [cell.tally.n for cell in ordered])
        return Curve(ordered[0].layer, ordered, tuple(max(0.0, loss) for loss in fitted))

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The measured sparsities, upwards."""
        return tuple(cell.sparsity for cell in self.cells)

    def loss_at(self, sparsity: float) -> float:
        """Return the fitted loss, on the line through the cells; past the last one that one's."""
        return float(np.interp(sparsity, [0.0, *self.sparsities], [0.0, *self.fitted]))

    def interval_at(self, sparsity: float) -> Interval:
        """Return a 95 % interval of the loss: the fit, as wide as those of the cells around; dense is exact."""
        below = [0.0, *(cell.drop_interval[1] - cell.drop for cell in self.cells)]  # a gain is a negative loss
        above = [0.0, *(cell.drop - cell.drop_interval[0] for cell in self.cells)]
        places, loss = [0.0, *self.sparsities], self.loss_at(sparsity)
        return loss - float(np.interp(sparsity, places, below)), loss + float(np.interp(sparsity, places, above))

    def largest_within(self, tolerance: float, steps: Sequence[float] | None = None) -> float:
        """Return the largest sparsity whose fitted loss is at most `tolerance`, on the line through the cells.

        Where only `steps` are possible, the largest cell; a curve that never crosses ends at its last cell.
        """
        level, loss = 0.0, 0.0
        for cell, after in zip(self.cells, self.fitted, strict=True):
            if after > tolerance:
                return level if steps else level + (cell.sparsity - level) * (tolerance - loss) / (after - loss)
            level, loss = cell.sparsity, after
        return level


def monotone(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the non-decreasing sequence nearest to `values` in weighted least squares.

    Pool adjacent violators: neighbours in the wrong order become their mean (Ayer et al. 1955,
    doi:10.1214/aoms/1177728423).
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many values
    for value, weight in zip(values, weights, strict=True):
        pool = (value, float(weight), 1)
        while pools and pools[-1][0] > pool[0]:
            mean, before, n = pools.pop()
            total = before + pool[1]
            pool = ((mean * before + pool[0] * pool[1]) / total, total, n + pool[2])
        pools.append(pool)
    return [mean for mean, _, n in pools for _ in range(n)]


def on_step(level: float, steps: Sequence[float] | None) -> float:
    """Return the largest possible sparsity that is not above `level`."""
    if steps:
        return max((step for step in steps if step <= level), default=0.0)
    return floor(level * ROUNDING + 1e-9) / ROUNDING
