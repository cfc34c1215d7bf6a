"""`Figure`: what a stratified sample of N examples says of all N, and of the population that these were drawn from.

The value is the mean of the strata, weighted by their sizes. `margin` is for the N examples themselves, with the
finite population correction; `low` and `high` add the uncertainty that the N examples have even when all are in
(double sampling for stratification: variance = that of all N + that within strata; Cochran 1977, section 12.2).
Both parts are added as squares of half-widths, so that with all examples in the interval is that of `intervals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pruning_core.intervals import Interval, mean_interval, paired_difference, wilson
from pruning_core.sensitivity.tally import Tally

QUANTILE = 2.4  # instead of 1.96: a cell is looked at after each block, about five times, and stops when narrow
TOLERANCE = 0.005  # of the drop, absolute
RELATIVE_TOLERANCE = 0.1  # of the drop

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """An estimate with its uncertainty; everything in the unit of `value`."""

    value: float
    low: float  # 95 % interval for the population that the N examples were drawn from
    high: float
    margin: float  # half-width for the value over all N examples, valid under repeated looks; 0.0 when all are in


def drop_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Accuracy minus dense accuracy, paired; without labels agreement minus 1. Negative is worse."""
    sample = _Sample.of(strata, sizes)
    if not sample.labelled:
        agreement = agreement_of(strata, sizes)
        return Figure(agreement.value - 1, agreement.low - 1, agreement.high - 1, agreement.margin)
    up, down = sample.mean("gained"), sample.mean("lost")
    margin = sample.margin_of_shares(up + down - (up - down) ** 2)
    gained, lost = sample.total(up), sample.total(down)
    gained = min(gained, sample.size - lost)  # not a rounding error more
    return _figure((gained - lost) / sample.size, margin, paired_difference(gained, lost, sample.size))


def agreement_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Share of examples answered as by the dense model."""
    return _share(strata, sizes, "agreeing")


def accuracy_of(strata: Sequence[Tally], sizes: Sequence[int], dense: float | None = None) -> Figure:
    """Share of right answers; narrower where the `dense` accuracy on all N examples is known."""
    if dense is None:
        return _share(strata, sizes, "correct")
    drop, size = drop_of(strata, sizes), sum(sizes)
    value = min(max(dense + drop.value, 0.0), 1.0)
    return _figure(value, drop.margin, wilson(min(value * size, size), size))


def rise_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Mean of loss minus dense loss, in nats."""
    return _mean(strata, sizes, "rise", "rise_squares")


def kl_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Mean KL divergence from the dense answers, in nats."""
    return _mean(strata, sizes, "kl", "kl_squares")


def is_settled(figure: Figure) -> bool:
    """Whether the value over all N examples is known well enough to stop."""
    return figure.margin <= max(TOLERANCE, RELATIVE_TOLERANCE * abs(figure.value))


def _share(strata: Sequence[Tally], sizes: Sequence[int], column: str) -> Figure:
    sample = _Sample.of(strata, sizes)
    share = sample.mean(column)
    value = min(sample.total(share) / sample.size, 1.0)  # not a rounding error more
    margin = sample.margin_of_shares(share * (1 - share))
    return _figure(value, margin, wilson(min(value * sample.size, sample.size), sample.size))


def _mean(strata: Sequence[Tally], sizes: Sequence[int], column: str, squares: str) -> Figure:
    sample = _Sample.of(strata, sizes)
    means, n = sample.mean(column), sample.n
    within = np.maximum(sample.mean(squares) - means**2, 0) * n / np.maximum(n - 1, 1)
    value = sample.total(means) / sample.size
    spread = sample.total(within + (means - value) ** 2) / sample.size
    interval = mean_interval(value, sqrt(spread), sample.size) or (value, value)
    return _figure(value, QUANTILE * sqrt(sample.variance(within)), interval)


def _figure(value: float, margin: float, at_all: Interval) -> Figure:
    """Return the figure whose interval would be `at_all` if all N examples were in."""
    low, high = at_all
    return Figure(
        value, value - sqrt((value - low) ** 2 + margin**2), value + sqrt((high - value) ** 2 + margin**2), margin
    )


class _Sample:
    """Strata that hold samples; one without goes together with the next lower one."""

    def __init__(self, tallies: Sequence[Tally], sizes: Sequence[int]) -> None:
        self.tallies = tallies
        self.sizes: Values = np.array(sizes, dtype=np.float64)
        self.n: Values = np.array([tally.n for tally in tallies], dtype=np.float64)
        self.size = sum(sizes)
        self.labelled = any(tally.labelled for tally in tallies)

    @staticmethod
    def of(strata: Sequence[Tally], sizes: Sequence[int]) -> "_Sample":
        tallies: list[Tally] = []
        counts: list[int] = []
        waiting = 0  # examples of lowest strata without samples
        for tally, size in zip(strata, sizes, strict=True):
            if tally.n:
                tallies.append(tally)
                counts.append(size + waiting)
                waiting = 0
            elif tallies:
                counts[-1] += size
            else:
                waiting += size
        if not tallies:
            raise ValueError("nothing is measured yet")
        return _Sample(tallies, counts)

    def mean(self, column: str) -> Values:
        """Return the mean (strata,) of a column of the tallies."""
        return np.array([getattr(tally, column) for tally in self.tallies]) / self.n

    def total(self, means: Values) -> float:
        """Return the sum over all N examples, from the means (strata,)."""
        return float(self.sizes @ means)

    def variance(self, within: Values) -> float:
        """Return the variance of the mean over all N, from the variance (strata,) within each stratum."""
        return float(np.sum(self._factors() * within * self.n))

    def margin_of_shares(self, within: Values) -> float:
        """Return the half-width of a share whose variance within strata is `within`.

        One example that was not seen is added where it weighs most, so that no change at all still has a width: with
        equal weights this is the addition of Agresti and Min 2005 (`paired_difference`).
        """
        return QUANTILE * sqrt(self.variance(within) + float(self._factors().max()))

    def _factors(self) -> Values:
        """Return what one sampled example adds to the variance of the mean, (strata,), if it differs by 1."""
        return (self.sizes / self.size / self.n) ** 2 * (1 - self.n / self.sizes)
