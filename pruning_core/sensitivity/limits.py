"""What cells say of a layer: the largest sparsity within a tolerance, the drop at a sparsity, several sweeps as one."""

from collections.abc import Sequence
from dataclasses import replace

from pruning_core.sensitivity.cells import Cell, Sweep


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Return the cells of several sweeps of one model and data as one, whose layers may be cut in different ways."""
    first, *others = sweeps
    if not others:
        return first
    granularities, criteria = {found.granularity for found in sweeps}, {found.criterion for found in sweeps}
    cells = tuple(cell for found in sweeps for cell in found.cells)
    measured = {cell.layer for cell in cells}
    skipped = {name: why for found in sweeps for name, why in found.skipped.items() if name not in measured}
    return replace(
        first,
        granularity=first.granularity if len(granularities) == 1 else "mixed",
        criterion=first.criterion if len(criteria) == 1 else "mixed",
        settings={},
        n_samples=min(found.n_samples for found in sweeps),
        exact=all(found.exact for found in sweeps),
        cells=cells,
        seconds=sum(found.seconds for found in sweeps),
        skipped=skipped,
    )


def largest_within(cells: tuple[Cell, ...], tolerance: float, steps: tuple[float, ...] | None = None) -> float:
    """Return the largest sparsity whose drop stays within `tolerance` (a fraction), on the line through the cells.

    The first crossing counts, from 0 on; a layer that never crosses goes to its highest measured sparsity. Where only
    `steps` are possible the largest step that was measured within tolerance is returned.
    """
    level, drop = 0.0, 0.0
    for cell in sorted(cells, key=lambda cell: cell.sparsity):
        if cell.drop < -tolerance:
            if steps:
                return level
            return level + (cell.sparsity - level) * (tolerance + drop) / (drop - cell.drop)
        level, drop = cell.sparsity, cell.drop
    return level


def drop_at(cells: tuple[Cell, ...], sparsity: float) -> tuple[float, float]:
    """Return drop and half of its interval at `sparsity`, on the line from dense through the cells; an estimate.

    Past the last measured level that level's own figures stand, since nothing is known there.
    """
    before = (0.0, 0.0, 0.0)
    for cell in sorted(cells, key=lambda cell: cell.sparsity):
        low, high = cell.drop_interval
        after = (cell.sparsity, cell.drop, (high - low) / 2)
        if cell.sparsity >= sparsity:
            part = (sparsity - before[0]) / (after[0] - before[0])
            drop, half = (before[i] + part * (after[i] - before[i]) for i in (1, 2))
            return drop, half
        before = after
    return before[1:]
