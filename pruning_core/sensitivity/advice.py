"""How many more samples would answer a question that the intervals leave open.

Drops as measured are taken to be true, and widths to shrink with the root of the number of samples. Each drop is
paired with the dense model. Of two cells the widths are added as if independent: only the sums of each are kept, not
who changed in both. On the samples changes in two layers go together (correlation 0 to 0.3), so fewer may do.
"""

from math import ceil, sqrt

from pruning_core.intervals import normal_quantile
from pruning_core.sensitivity.cells import Cell

CONFIDENCE = 0.95
POWER = 0.8  # how often the number that is advised is enough


def is_separated(one: Cell, other: Cell) -> bool:
    """Whether the interval of the difference of two drops leaves out 0."""
    difference, width = _difference(one, other)
    return difference > width


def more_samples(one: Cell, other: Cell) -> int | None:
    """Return how many more samples would tell two drops apart; 0 where they are apart, None where they are equal.

    For a difference d with standard error s at n samples, d / s is to become z(CONFIDENCE) + z(POWER): the usual
    sample size of a comparison (Fleiss 1981, chapter 3).
    """
    difference, width = _difference(one, other)
    if difference > width:
        return 0
    if difference == 0:
        return None
    longer = 1 + normal_quantile(2 * POWER - 1) / normal_quantile(CONFIDENCE)
    return _more(_n(one, other), width * longer / difference)


def more_samples_within(cell: Cell, half_width: float) -> int:
    """Return how many more samples would bring both ends of a cell's interval within `half_width` of its drop."""
    if half_width <= 0:
        raise ValueError(f"half-width {half_width:g} must be above 0")
    low, high = cell.drop_interval
    return _more(_n(cell), max(cell.drop - low, high - cell.drop) / half_width)


def advice(one: Cell, other: Cell) -> str:
    """Return one sentence on what it takes to tell two cells apart."""
    more = more_samples(one, other)
    names = f"{_name(one)} and {_name(other)}"
    if more is None:
        return f"{names} lost the same here; no number of samples is known to separate them"
    if more == 0:
        less, worse = sorted((one, other), key=lambda cell: -cell.drop)
        return f"{_name(less)} loses less than {_name(worse)}, beyond chance (95 %)"
    return f"about {_rounded(more):,} more samples would separate {names}, if their drops are as measured"


def _difference(one: Cell, other: Cell) -> tuple[float, float]:
    """Return how far apart two drops are, and the half-width of that towards 0.

    The half-widths of both are added as squares (Zou and Donner 2008, doi:10.1002/sim.3095).
    """
    less, worse = sorted((one, other), key=lambda cell: -cell.drop)
    width = sqrt((less.drop - less.drop_interval[0]) ** 2 + (worse.drop_interval[1] - worse.drop) ** 2)
    return less.drop - worse.drop, width


def _n(*cells: Cell) -> int:
    """Return the samples of the cell that saw fewest; a bracketed one stands for all that its neighbours saw."""
    return min(sum(cell.all_sizes) if cell.between else cell.tally.n for cell in cells)


def _more(n: int, ratio: float) -> int:
    """Return how many more than n make a width smaller by `ratio`."""
    return max(0, ceil(n * (ratio**2 - 1) - 1e-9))


def _name(cell: Cell) -> str:
    return f"{cell.layer} at {cell.sparsity:.0%}"


def _rounded(n: int) -> int:
    """Return n to two digits, upwards: more would claim too much."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step
