"""Levels of a layer that need not run: between two settled levels that nearly agree, the drop hardly moves.

That is no law: on trained nets accuracy sometimes rises by half a point and falls again. So few answers may have
changed at the upper level as well, since a drop comes from changed answers, and their share grows with sparsity.
Measured on the samples (tests/benchmarks/stopping.py).
"""

from collections.abc import Sequence

from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.estimates import TOLERANCE, Figure, agreement_of, kl_of, tolerance_of

LOST, DIVERGED = 0.03, 0.03  # drop and divergence (nats) in a preview above which a level must run sooner or later
CHANGED = 4 * TOLERANCE  # share of changed answers; half of them would have to cancel less than chance lets them
DENSE = Figure(0.0, 0.0, 0.0, 0.0)  # level 0


def anchors(cells: Sequence[Cell]) -> set[float]:
    """Return the levels to run next, of the cells of one layer that are still open.

    All levels that surely change much, and the highest of the others: if that settles near 0, all below are
    bracketed. Each further round walks the dense model again, so those that must run anyway come at once.
    """
    surely = {cell.sparsity for cell in cells if cell.drop <= -LOST or _kl(cell) > DIVERGED}
    others = [cell.sparsity for cell in cells if cell.sparsity not in surely]
    return surely | ({max(others)} if others else set())


def brackets(cells: Sequence[Cell]) -> dict[float, Figure]:
    """Return what the settled cells of one layer say of its open ones, for the levels that they bracket."""
    settled = {cell.sparsity: cell for cell in cells if cell.state in ("settled", "exact")}
    found: dict[float, Figure] = {}
    for cell in cells:
        above = [level for level in settled if level > cell.sparsity]
        if cell.done or not cell.strata or not above:
            continue
        below = [level for level in settled if level < cell.sparsity]
        between = _between(settled[max(below)] if below else None, cell, settled[min(above)])
        if between:
            found[cell.sparsity] = between
    return found


def _between(lower: Cell | None, cell: Cell, upper: Cell) -> Figure | None:
    """Return the figure of `cell` if its neighbours (None for the dense layer) leave it no room, else None.

    The value lies between theirs as its divergence from the dense answers does, which rises late as the drop does.
    """
    if agreement_of(upper.strata, upper.all_sizes).value < 1 - CHANGED:
        return None
    one, other = lower.figure if lower else DENSE, upper.figure
    least = min(one.value - one.margin, other.value - other.margin)
    most = max(one.value + one.margin, other.value + other.margin)
    value = one.value + _part(lower, cell, upper) * (other.value - one.value)
    if (most - least) / 2 > tolerance_of(value):
        return None
    return Figure(value, min(one.low, other.low), max(one.high, other.high), max(most - value, value - least))


def _part(lower: Cell | None, cell: Cell, upper: Cell) -> float:
    """Return how far `cell` has come from its lower to its upper neighbour, 0 to 1."""
    start, end = _kl(lower) if lower else 0.0, _kl(upper)
    if end > start:
        return min(max((_kl(cell) - start) / (end - start), 0.0), 1.0)
    level = lower.sparsity if lower else 0.0
    return (cell.sparsity - level) / (upper.sparsity - level)


def _kl(cell: Cell) -> float:
    return kl_of(cell.strata, cell.all_sizes).value
