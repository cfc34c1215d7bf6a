"""Estimates of all N examples, and of where they came from, from a stratified sample."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.intervals import mean_interval, paired_difference, wilson
from pruning_core.sensitivity.estimates import (
    Figure,
    accuracy_of,
    agreement_of,
    drop_of,
    is_settled,
    kl_of,
    rise_of,
    tolerance_of,
)
from pruning_core.sensitivity.tally import Tally


def counted(n: int, gained: int = 0, lost: int = 0, correct: int = 0) -> Tally:
    return Tally(n=n, correct=correct, gained=gained, lost=lost, agreeing=n - gained - lost, labelled=True)


WHOLE = [counted(100, 1, 5, 80), counted(900, 0, 2, 890)], [100, 900]


def test_with_all_examples_in_the_interval_is_that_of_the_plain_counts() -> None:
    drop, agreement, accuracy = drop_of(*WHOLE), agreement_of(*WHOLE), accuracy_of(*WHOLE)
    assert (drop.value, drop.margin) == (pytest.approx(-0.006), 0.0)
    assert (drop.low, drop.high) == pytest.approx(paired_difference(1, 7, 1000))
    assert (agreement.value, agreement.low, agreement.high) == pytest.approx((0.992, *wilson(992, 1000)))
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx((0.97, *wilson(970, 1000)))
    assert agreement.margin == accuracy.margin == 0.0


def test_a_figure_from_the_dense_accuracy_is_as_narrow_as_the_drop() -> None:
    strata, sizes = [counted(100, 1, 5, 80), counted(90, 0, 1, 88)], [100, 900]
    drop, alone, known = drop_of(strata, sizes), accuracy_of(strata, sizes), accuracy_of(strata, sizes, dense=0.97)
    assert known.value == pytest.approx(0.97 + drop.value)
    assert known.margin == drop.margin < alone.margin
    assert accuracy_of([counted(10, gained=5)], [20], dense=0.9).value == 1.0


def test_strata_weigh_by_their_sizes() -> None:
    figure = drop_of([counted(100, 0, 10), counted(50, 0, 1)], [100, 900])
    assert figure.value == pytest.approx(-(10 + 900 / 50) / 1000)


def test_no_change_has_the_width_of_the_rule_of_three() -> None:
    assert drop_of([counted(300)], [10**9]).margin == pytest.approx(3 / 300)
    assert drop_of([counted(300)], [1200]).margin == pytest.approx(3 / 300 * sqrt(3 / 4))
    assert agreement_of([counted(300)], [1200]).margin == pytest.approx(3 / 300 * sqrt(3 / 4))
    uneven = drop_of([counted(100), counted(50), counted(100)], [100, 100, 800])
    assert uneven.margin == pytest.approx(3 * 8 / 1000 * sqrt(7 / 8))  # behind the stratum where one weighs most


def test_changes_widen_by_their_variance_within_strata() -> None:
    figure = drop_of([counted(200, 4, 16), counted(100)], [1000, 100])
    within = (0.02 + 0.08 - 0.06**2) * 200 / 199
    one = (1000 / 1100 / 200) ** 2 * 0.8
    assert figure.margin == pytest.approx(sqrt(2.05**2 * 200 * within * one + 9 * one))


def test_the_population_adds_the_width_that_all_examples_would_have() -> None:
    strata, sizes = [counted(200, 4, 16), counted(100)], [1000, 100]
    figure = drop_of(strata, sizes)
    low, high = paired_difference(20, 80, 1100)
    beyond = figure.margin**2 + 9 * ((1000 / 1100 / 200) ** 2 * 0.2 - 1 / 1100**2)  # what is unseen may be outside
    assert figure.value - figure.low == pytest.approx(sqrt((figure.value - low) ** 2 + beyond))
    assert figure.high - figure.value == pytest.approx(sqrt((high - figure.value) ** 2 + beyond))
    kl = kl_of([Tally(n=4, kl=4.0, kl_squares=6.0)], [8])
    low, high = mean_interval(1.0, sqrt(2 / 3), 8) or (0, 0)
    assert kl.high - 1 == pytest.approx(sqrt((high - 1) ** 2 + kl.margin**2))


def test_strata_with_fewer_than_two_samples_go_with_a_neighbour() -> None:
    merged = drop_of([counted(64, 0, 4), counted(1), counted(10)], [100, 100, 800])
    assert merged == drop_of([counted(64, 0, 4), counted(11)], [100, 900])
    last = drop_of([counted(64, 0, 4), counted(10), counted(0)], [100, 100, 800])
    assert last == drop_of([counted(64, 0, 4), counted(10)], [100, 900])
    complete = drop_of([counted(1, 0, 1), counted(10)], [1, 100])  # one of one is all
    assert complete.value == pytest.approx(-1 / 101)
    lonely = drop_of([counted(0), counted(1, 0, 1)], [5, 5])
    assert (lonely.value, lonely.low) == (-1.0, -1.0)


def test_without_any_example_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no example"):
        drop_of([counted(0), counted(0)], [5, 5])


def test_without_labels_the_drop_is_that_of_the_agreement() -> None:
    strata, sizes = [Tally(n=50, agreeing=45), Tally(n=50, agreeing=50)], [50, 500]
    drop, agreement = drop_of(strata, sizes), agreement_of(strata, sizes)
    assert agreement.value == pytest.approx(1 - 5 / 550)
    assert drop == Figure(agreement.value - 1, agreement.low - 1, agreement.high - 1, agreement.margin)


def test_means_of_loss_and_divergence() -> None:
    parts = [
        Tally(n=2, rise=3.0, rise_squares=5.0, kl=3.0, kl_squares=5.0, labelled=True),  # 1 and 2
        Tally(n=3, rise=0.0, rise_squares=6.0, kl=6.0, kl_squares=14.0, labelled=True),  # 1, 2, 3; for rise 0 between
    ]
    rise, kl = rise_of(parts, [2, 9]), kl_of(parts, [2, 9])
    assert (rise.value, kl.value) == (pytest.approx(3 / 11), pytest.approx((3 + 9 * 2) / 11))
    assert kl.margin == pytest.approx(2.05 * 9 / 11 * sqrt(1.0 / 3 * 6 / 9))  # the first two are all of their stratum
    low, high = mean_interval(1.8, sqrt((0.5 * 2 + 1.0 * 3 + 2 * 0.3**2 + 3 * 0.2**2) / 5), 5) or (0, 0)
    whole = kl_of(parts, [2, 3])
    assert (whole.low, whole.high, whole.margin) == (pytest.approx(low), pytest.approx(high), 0.0)


def test_one_example_alone() -> None:
    one = Tally(n=1, correct=1, agreeing=1, kl=0.5, kl_squares=0.25, rise=0.1, rise_squares=0.01, labelled=True)
    assert kl_of([one], [1]) == Figure(0.5, 0.5, 0.5, 0.0)
    drop = drop_of([one], [1])
    assert (drop.value, drop.margin) == (0.0, 0.0)
    assert (drop.low, drop.high) == pytest.approx(paired_difference(0, 0, 1))


@pytest.mark.parametrize(
    ("value", "margin", "settled"),
    [(0.0, 0.005, True), (0.0, 0.0051, False), (-0.3, 0.03, True), (-0.3, 0.031, False), (0.3, 0.03, True)],
)
def test_settled_is_half_a_point_or_a_tenth_of_the_drop(value: float, margin: float, settled: bool) -> None:
    assert is_settled(Figure(value, -1.0, 1.0, margin)) == settled
    assert tolerance_of(value) == pytest.approx(max(0.005, abs(value) / 10))


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[Tally], list[int]]:
    strata, sizes = [], []
    for _ in range(draw(st.integers(1, 5))):
        size = draw(st.integers(1, 300))
        n = draw(st.integers(0, size))
        gained = draw(st.integers(0, n))
        strata.append(counted(n, gained, draw(st.integers(0, n - gained))))
        sizes.append(size)
    return strata, sizes


@given(samples())
def test_a_drop_holds_its_value_and_mirrors(sample: tuple[list[Tally], list[int]]) -> None:
    strata, sizes = sample
    if not sum(tally.n for tally in strata):
        return
    figure = drop_of(strata, sizes)
    assert -1 <= figure.low <= figure.value <= figure.high <= 1
    assert (figure.margin == 0) == (sum(tally.n for tally in strata) == sum(sizes))
    mirrored = drop_of([counted(t.n, t.lost, t.gained) for t in strata], sizes)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx((-figure.value, -figure.high, -figure.low))
    agreement = agreement_of(strata, sizes)
    assert 0 <= agreement.low <= agreement.value <= agreement.high <= 1
    assert agreement.value - 1 <= figure.value + 1e-12


def test_an_empty_stratum_changes_nothing() -> None:
    assert drop_of([counted(0), counted(10, 0, 2), counted(0)], [0, 100, 0]) == drop_of([counted(10, 0, 2)], [100])
