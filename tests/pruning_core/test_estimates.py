"""Estimates of all N examples from a stratified sample."""

import pytest

from pruning_core.intervals import paired_difference, wilson
from pruning_core.sensitivity.estimates import accuracy_of, agreement_of, drop_of
from pruning_core.sensitivity.tally import Tally


def counted(n: int, gained: int = 0, lost: int = 0, correct: int = 0) -> Tally:
    return Tally(n=n, correct=correct, gained=gained, lost=lost, agreeing=n - gained - lost, labelled=True)


def test_with_all_examples_in_the_interval_is_the_paired_one() -> None:
    figure = drop_of([counted(100, 1, 5), counted(900, 0, 2)], [100, 900])
    assert figure.margin == 0.0
    assert figure.value == pytest.approx(-0.006)
    assert (figure.low, figure.high) == pytest.approx(paired_difference(1, 7, 1000))
    agreement = agreement_of([counted(100, 1, 5), counted(900, 0, 2)], [100, 900])
    assert (agreement.low, agreement.high) == pytest.approx(wilson(992, 1000))


def test_strata_weigh_by_their_sizes() -> None:
    figure = drop_of([counted(100, 0, 10), counted(50, 0, 1)], [100, 900])
    assert figure.value == pytest.approx(-(10 + 900 / 50) / 1000)


def test_a_stratum_without_samples_goes_with_the_next_lower() -> None:
    merged = drop_of([counted(64, 0, 4), counted(0), counted(10, 0, 0)], [100, 100, 800])
    assert merged == drop_of([counted(64, 0, 4), counted(10, 0, 0)], [200, 800])
    assert accuracy_of([counted(0), counted(10, correct=9)], [100, 100]).value == 0.9
