"""Intervals against published numbers, scipy, exact binomials, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pruning_core.intervals import (
    mean_interval,
    median_interval,
    normal_quantile,
    paired_difference,
    values_for_median,
    wilson,
)


def test_wilson_known_values() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    low, high = wilson(successes, n, confidence)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_ends_are_exact() -> None:
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes of"):
        wilson(successes, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_fraction(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        normal_quantile(confidence)


def test_paired_difference_by_hand() -> None:
    # n = 98, so the adjusted total is 100; 10.5 up and 20.5 down of 100: -0.1 +- 1.96 sqrt((0.31 - 0.01) / 100)
    assert paired_difference(10, 20, 98) == pytest.approx((-0.1 - 0.107352, -0.1 + 0.107352), abs=1e-6)


def test_no_change_still_has_a_width() -> None:
    low, high = paired_difference(0, 0, 1000)
    assert low == -high
    assert high == pytest.approx(1.959964 * (1 / 1002**2) ** 0.5, rel=1e-6)  # z / (n + 2)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0, 1))
def test_paired_difference_is_antisymmetric_and_holds_the_estimate(counts: tuple[int, int], part: float) -> None:
    changed, n = counts
    gained = round(changed * part)
    low, high = paired_difference(gained, changed - gained, n)
    mirrored = paired_difference(changed - gained, gained, n)
    assert mirrored == pytest.approx((-high, -low))
    assert -1 <= low < high <= 1
    shrunk = (2 * gained - changed) / (n + 2)
    assert low <= shrunk <= high


def test_paired_difference_covers_in_simulation() -> None:
    # 4 designs x 4000 draws: coverage 95 % +- 1.5 points (the standard error of a share of 4000 is 0.34 points)
    rng = np.random.default_rng(5)
    for n, up, down in ((200, 0.05, 0.08), (1000, 0.01, 0.03), (2000, 0.002, 0.002), (100, 0.2, 0.1)):
        cells = rng.multinomial(n, (up, down, 1 - up - down), size=4000)
        intervals = [paired_difference(int(gained), int(lost), n) for gained, lost, _ in cells]
        covered = np.mean([low <= up - down <= high for low, high in intervals])
        assert 0.935 <= covered <= 0.985, (n, up, down, covered)


def test_wilson_covers_in_simulation() -> None:
    rng = np.random.default_rng(6)
    for n, share in ((100, 0.9), (2000, 0.98), (50, 0.5)):
        covered = np.mean(
            [low <= share <= high for low, high in (wilson(int(k), n) for k in rng.binomial(n, share, 4000))]
        )
        assert 0.925 <= covered <= 0.975, (n, share, covered)


def test_mean_interval() -> None:
    assert mean_interval(2.0, 3.0, 9) == pytest.approx((2 - 1.959964, 2 + 1.959964), abs=1e-6)
    assert mean_interval(2.0, 0.0, 1) is None


def test_median_interval_takes_the_published_order_statistics() -> None:
    # binomial tables (Conover 1999, quantile test at 95 %): n = 6: 1st and 6th; n = 15: 4th and 12th; n = 20: 6th, 15th
    assert median_interval(range(1, 7)) == (1, 6)
    assert median_interval(range(15, 0, -1)) == (4, 12)
    assert median_interval(range(1, 21)) == (6, 15)


@given(st.integers(6, 400), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_median_interval_is_the_narrowest_that_covers(n: int, confidence: float) -> None:
    if n < values_for_median(confidence):
        return
    low, high = median_interval([float(k) for k in range(1, n + 1)], confidence)
    assert low + high == n + 1
    below = stats.binom.cdf(low - 1, n, 0.5)  # P(the median lies below the low end)
    assert 2 * below <= 1 - confidence + 1e-12
    assert 2 * stats.binom.cdf(low, n, 0.5) > 1 - confidence - 1e-12


def test_median_interval_needs_enough_values() -> None:
    assert values_for_median(0.95) == 6
    assert values_for_median(0.5) == 2
    with pytest.raises(ValueError, match="needs 6"):
        median_interval([1.0] * 5)


def test_median_interval_covers_in_simulation() -> None:
    rng = np.random.default_rng(7)
    for n in (6, 11, 40):
        draws = np.exp(rng.normal(size=(3000, n)))  # median 1, skewed
        covered = np.mean([low <= 1 <= high for low, high in map(median_interval, draws.tolist())])
        assert 0.94 <= covered <= 0.99, (n, covered)
