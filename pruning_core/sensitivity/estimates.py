"""`Figure`: what a stratified sample of N examples says of all N, and of the population that these were drawn from.

The value is the mean of the strata, weighted by their sizes. `margin` is for the N examples themselves, with the
finite population correction; `low` and `high` add the uncertainty that the N examples have even when all are in
(double sampling for stratification: variance of all N + variance within strata; Cochran 1977, section 12.2). Both
are added as squares of half-widths (Zou and Donner 2008, doi:10.1002/sim.3095), so that with all examples in the
interval is that of `pruning_core.intervals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pruning_core.intervals import Interval, mean_interval, paired_difference, wilson
from pruning_core.sensitivity.tally import Tally

QUANTILE = 2.05  # instead of 1.96, because a cell is looked at after each block; tests/pruning_core/test_coverage.py
UNSEEN = 3.0  # changes that may be hidden behind none: the rule of three, Hanley and Lippman-Hand 1983
TOLERANCE = 0.005  # of a value over all N examples, absolute
RELATIVE_TOLERANCE = 0.1  # of the value

Values = NDArray[np.float64]  # (strata,)


@dataclass(frozen=True)
class Figure:
    """An estimate with its uncertainty; everything in the unit of `value`."""

    value: float
    low: float  # 95 % interval for the population that the N examples were drawn from
    high: float
    margin: float  # half-width for the value over all N examples, valid under repeated looks; 0.0 when all are in


def drop_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Accuracy minus dense accuracy, paired; without labels agreement minus 1. Negative is worse."""
    sample = _Sample(strata, sizes)
    if not sample.labelled:
        agreement = agreement_of(strata, sizes)
        return Figure(agreement.value - 1, agreement.low - 1, agreement.high - 1, agreement.margin)
    up, down = sample.means("gained"), sample.means("lost")
    gained, lost = sample.total(up), sample.total(down)
    gained = min(gained, sample.size - lost)  # not more by rounding
    widths = sample.widths(up + down - (up - down) ** 2, UNSEEN)
    return _figure((gained - lost) / sample.size, widths, paired_difference(gained, lost, sample.size), -1.0)


def agreement_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Share of examples answered as by the dense model."""
    return _share(_Sample(strata, sizes), "agreeing")


def accuracy_of(strata: Sequence[Tally], sizes: Sequence[int], dense: float | None = None) -> Figure:
    """Share of right answers, which needs labels; narrower where the `dense` accuracy on all N examples is known."""
    sample = _Sample(strata, sizes)
    if dense is None:
        return _share(sample, "correct")
    up, down = sample.means("gained"), sample.means("lost")
    value = min(max(dense + sample.total(up - down) / sample.size, 0.0), 1.0)
    widths = sample.widths(up + down - (up - down) ** 2, UNSEEN)
    return _figure(value, widths, wilson(min(value * sample.size, sample.size), sample.size), 0.0)


def rise_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Mean of loss minus dense loss, in nats; needs labels."""
    return _mean(_Sample(strata, sizes), "rise", "rise_squares")


def kl_of(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Mean KL divergence from the dense answers, in nats."""
    return _mean(_Sample(strata, sizes), "kl", "kl_squares")


def tolerance_of(value: float) -> float:
    """Return how well `value` has to be known."""
    return max(TOLERANCE, RELATIVE_TOLERANCE * abs(value))


def is_settled(figure: Figure) -> bool:
    """Whether the value over all N examples is known well enough to stop."""
    return figure.margin <= tolerance_of(figure.value)


class _Sample:
    """Strata with two samples or more; one that has fewer goes together with the next, the last with the one before."""

    def __init__(self, strata: Sequence[Tally], sizes: Sequence[int]) -> None:
        self.tallies, self.size = strata, sum(sizes)
        self.labelled = any(tally.labelled for tally in strata)
        counts = [tally.n for tally in strata]
        if not any(counts):
            raise ValueError("no example is measured yet")
        self._starts = _starts(counts, sizes)
        self.n = self._joined(counts)
        self.sizes = self._joined(sizes)

    def _joined(self, values: Sequence[float]) -> Values:
        """Return the sums of the strata that go together."""
        return np.add.reduceat(np.array(values, dtype=np.float64), self._starts)

    def means(self, column: str) -> Values:
        """Return the mean (strata,) of one sum of the tallies."""
        return self._joined([getattr(tally, column) for tally in self.tallies]) / self.n

    def total(self, means: Values) -> float:
        """Return the sum over all N examples, from the means (strata,)."""
        return float(self.sizes @ means)

    def unbiased(self, variances: Values) -> Values:
        """Return variances (strata,) around the strata's true means from those around the measured ones."""
        return variances * self.n / np.maximum(self.n - 1, 1)

    def widths(self, variances: Values, unseen: float = 0.0) -> tuple[float, float]:
        """Return half-widths for the mean over all N, from the variances (strata,) within strata.

        The first is for these N examples; the second is what the sample adds to the width that they have themselves
        as a sample of the population. `unseen` examples that differ by 1 are added where one weighs most, so that no
        change at all still has a width.
        """
        one = (self.sizes / self.size / self.n) ** 2  # what an example adds to the variance, if it differs by 1
        left = one * (1 - self.n / self.sizes)
        variance = QUANTILE**2 * float(left @ (self.n * self.unbiased(variances)))
        beyond = max(float(one.max()) - 1 / self.size**2, 0.0)  # each of all N weighs 1 / N
        return sqrt(variance + unseen**2 * float(left.max())), sqrt(variance + unseen**2 * beyond)


def _starts(counts: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Return the first of each run of strata that go together: two samples or more, or all there are."""
    starts, start, n, size = list[int](), 0, 0, 0
    for i, (count, all_of_it) in enumerate(zip(counts, sizes, strict=True)):
        n, size = n + count, size + all_of_it
        if n >= 2 or 0 < n == size:
            starts.append(start)
            start, n, size = i + 1, 0, 0
    return starts or [0]  # what is left over belongs to the last run


def _share(sample: _Sample, column: str) -> Figure:
    shares = sample.means(column)
    count = min(sample.total(shares), sample.size)  # not more by rounding
    widths = sample.widths(shares * (1 - shares), UNSEEN)
    return _figure(count / sample.size, widths, wilson(count, sample.size), 0.0)


def _mean(sample: _Sample, column: str, squares: str) -> Figure:
    means = sample.means(column)
    within = np.maximum(sample.means(squares) - means**2, 0.0)
    value = sample.total(means) / sample.size
    spread = sample.total(sample.unbiased(within) + (means - value) ** 2) / sample.size
    interval = mean_interval(value, sqrt(spread), sample.size) or (value, value)
    return _figure(value, sample.widths(within), interval)


def _figure(value: float, widths: tuple[float, float], at_all: Interval, least: float = -np.inf) -> Figure:
    """Return the figure whose interval would be `at_all` if all N examples were in; a share ends at `least` and 1."""
    margin, beyond = widths
    low = value - sqrt((value - at_all[0]) ** 2 + beyond**2)
    high = value + sqrt((at_all[1] - value) ** 2 + beyond**2)
    return Figure(value, max(low, least), high if least == -np.inf else min(high, 1.0), margin)
