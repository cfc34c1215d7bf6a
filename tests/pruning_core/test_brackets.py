"""Which levels of a layer run, and which are bracketed by those that did."""

import pytest

from pruning_core.sensitivity.brackets import anchors, brackets
from pruning_core.sensitivity.cells import Cell, State
from pruning_core.sensitivity.tally import Tally

N = 10_000


def cell(
    level: float, lost: int = 0, n: int = N, state: State = "settled", kl: float | None = None, same: int | None = None
) -> Cell:
    """A cell that lost that many of its n examples; `same` answers as before; its mean KL is level / 100 by default."""
    agreeing = n - lost if same is None else same
    total = n * (level / 100 if kl is None else kl)
    tally = Tally(n, n - lost, 0, lost, agreeing, kl=total, kl_squares=total * total / n, labelled=True)
    return Cell("fc", level, level, (tally,), (N,), state)


def preview(level: float, lost: int = 0, kl: float | None = None) -> Cell:
    return cell(level, lost, 64, "preview", kl)


def test_what_surely_loses_runs_and_the_highest_of_the_rest() -> None:
    assert anchors([preview(0.1), preview(0.5, 1), preview(0.7, 2), preview(0.9, 30)]) == {0.5, 0.7, 0.9}
    assert anchors([preview(0.1), preview(0.5)]) == {0.5}
    assert anchors([preview(0.9, 9)]) == {0.9}
    assert anchors([]) == set()


def test_what_diverged_runs_at_once_even_if_no_answer_changed() -> None:
    assert anchors([preview(0.1), preview(0.5, kl=0.03), preview(0.7, kl=0.031), preview(0.9, kl=1.0)]) == {
        0.5,
        0.7,
        0.9,
    }


def test_all_levels_below_one_that_lost_nearly_nothing_are_bracketed() -> None:
    found = brackets([preview(0.2), preview(0.4), cell(0.6, lost=40), preview(0.8)])
    assert set(found) == {0.2, 0.4}  # nothing settled is above 0.8
    assert found[0.2].value == pytest.approx(-0.004 / 3)  # a third of the way, by its divergence
    assert found[0.4].value == pytest.approx(-0.004 * 2 / 3)
    assert found[0.4].margin == pytest.approx(0.004 * 2 / 3)  # as far as the dense layer


def test_the_value_between_goes_by_divergence_and_without_any_by_sparsity() -> None:
    curved = brackets([preview(0.3, kl=0.01), cell(0.6, lost=40, kl=0.1)])
    assert curved[0.3].value == pytest.approx(-0.0004)
    beyond = brackets([preview(0.3, kl=0.2), cell(0.6, lost=40, kl=0.1)])
    assert beyond[0.3].value == pytest.approx(-0.004)
    flat = brackets([preview(0.3, kl=0.0), cell(0.6, lost=40, kl=0.0)])
    assert flat[0.3].value == pytest.approx(-0.002)


def test_between_two_settled_levels() -> None:
    found = brackets([cell(0.2, lost=30), preview(0.4), cell(0.6, lost=90), cell(0.8, lost=900)])
    assert found[0.4].value == pytest.approx(-0.006)
    low, high = cell(0.6, lost=90).figure.low, cell(0.2, lost=30).figure.high
    assert (found[0.4].low, found[0.4].high) == (low, high)  # both intervals


def test_the_nearest_settled_levels_count() -> None:
    found = brackets([cell(0.1, lost=10), cell(0.3, lost=60), preview(0.5), cell(0.7, lost=60), cell(0.9, lost=100)])
    assert found[0.5].value == pytest.approx(-0.006)


@pytest.mark.parametrize(("lost", "bracketed"), [(100, True), (102, False)])
def test_the_room_left_is_at_most_the_tolerance_to_both_sides(lost: int, bracketed: bool) -> None:
    assert bool(brackets([preview(0.4), cell(0.6, lost=lost)])) == bracketed


def test_the_margins_of_the_neighbours_count() -> None:
    assert not brackets([preview(0.4), cell(0.6, lost=0, n=500)])  # 3 of 500 may hide behind none: 0.58 %
    assert brackets([preview(0.4), cell(0.6, lost=0, n=900)])


def test_many_changed_answers_leave_room_even_where_they_cancel() -> None:
    assert brackets([preview(0.4), cell(0.6, same=N - 200)])
    assert not brackets([preview(0.4), cell(0.6, same=N - 201)])


def test_what_is_done_or_was_not_seen_is_left_alone() -> None:
    unseen = Cell("fc", 0.3, 0.3, (), (N,), "preview")
    failed = Cell("fc", 0.5, 0.5, (), (N,), "failed")
    assert set(brackets([unseen, preview(0.4), failed, cell(0.6)])) == {0.4}
    assert brackets([preview(0.4), cell(0.6, state="refining")]) == {}
