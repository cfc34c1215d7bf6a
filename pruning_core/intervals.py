"""Intervals of confidence for proportions, paired differences, means and medians; fractions in, fractions out."""

from collections.abc import Sequence
from math import comb, sqrt
from statistics import NormalDist

Interval = tuple[float, float]


def normal_quantile(confidence: float) -> float:
    """Return z of a two-sided interval: 1.96 at 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} must be between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion. Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Estimated counts may be fractions of examples.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n} trials")
    z, share = normal_quantile(confidence), successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == n else centre + half


def paired_difference(gained: float, lost: float, n: int, confidence: float = 0.95) -> Interval:
    """Interval of accuracy(pruned) - accuracy(dense) on the same n examples, from those that changed.

    `gained` were wrong and are right, `lost` were right and are wrong. Wald's interval after adding 1/2 to each of the
    four cells, so that no change at all still has a width. Agresti and Min 2005, doi:10.1002/sim.1781.
    """
    if min(gained, lost) < 0 or gained + lost > n or n < 1:
        raise ValueError(f"{gained} gained and {lost} lost of {n}")
    z, total = normal_quantile(confidence), n + 2
    up, down = (gained + 0.5) / total, (lost + 0.5) / total
    half = z * sqrt((up + down - (up - down) ** 2) / total)
    return max(up - down - half, -1.0), min(up - down + half, 1.0)


def mean_interval(mean: float, deviation: float, n: int, confidence: float = 0.95) -> Interval | None:
    """Normal interval of the mean of n independent values with this standard deviation; None for fewer than two."""
    if n < 2:
        return None
    half = normal_quantile(confidence) * deviation / sqrt(n)
    return mean - half, mean + half


def values_for_median(confidence: float = 0.95) -> int:
    """Return how many values a median interval needs at least: 6 at 0.95."""
    n = 1
    while 2 * 0.5**n > 1 - confidence:
        n += 1
    return n


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of the median between two order statistics, free of any distribution.

    The narrowest symmetric pair whose binomial coverage reaches `confidence`. Hahn and Meeker 1991, section 5.2.
    """
    n = len(values)
    if n < values_for_median(confidence):
        raise ValueError(f"{n} values; an interval of the median at {confidence} needs {values_for_median(confidence)}")
    outside, below = 0, 0.0  # order statistics left out on each side; P(as many of n fall below the median, or fewer)
    while 2 * (below + comb(n, outside) / 2**n) <= 1 - confidence:
        below += comb(n, outside) / 2**n
        outside += 1
    ordered = sorted(values)
    return ordered[outside - 1], ordered[n - outside]
