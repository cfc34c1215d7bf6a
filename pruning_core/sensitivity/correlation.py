"""Spearman's rank correlation, with an interval that counts only what is independent."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

from pruning_core.intervals import Interval, normal_quantile


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation of n pairs; None where one side is constant, so that it ranks nothing."""

    value: float | None
    n: int  # pairs
    interval: Interval | None  # 95 %; None for fewer than 4 independent pairs


def spearman(a: Sequence[float], b: Sequence[float], n_independent: int | None = None) -> Correlation:
    """Return the correlation of the ranks of `a` and `b`; equal values share the mean of their ranks.

    The interval is Fisher's with the variance of Bonett and Wright 2000 (doi:10.1007/BF02294183). Where the pairs
    come in groups that belong together, such as the levels of one layer, `n_independent` is the number of groups.
    """
    n = len(a)
    if n != len(b) or n < 2:
        raise ValueError(f"{n} and {len(b)} values; two lists of the same length are needed, of at least 2")
    x, y = (mean_ranks(values) - (n - 1) / 2 for values in (a, b))
    scale = sqrt(float(x @ x) * float(y @ y))
    if scale == 0:
        return Correlation(None, n, None)
    value = min(1.0, max(-1.0, float(x @ y) / scale))
    return Correlation(value, n, _interval(value, n if n_independent is None else n_independent))


def mean_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the rank of each value from 0 on; equal values share the mean of their ranks."""
    _, places, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: NDArray[np.float64] = (last - (counts + 1) / 2)[places]
    return means


def _interval(value: float, n: int) -> Interval | None:
    """Return the interval; a perfect order counts as half of one swap of neighbours, so that it has a width."""
    if n < 4:
        return None
    most = 1 - 6 / (n * (n * n - 1))
    centre = atanh(min(most, max(-most, value)))
    half = normal_quantile(0.95) * sqrt((1 + value * value / 2) / (n - 3))
    return min(value, tanh(centre - half)), max(value, tanh(centre + half))
