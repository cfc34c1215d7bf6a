"""How many more samples would separate two cells, or narrow one."""

from math import ceil, sqrt

import numpy as np
import pytest

from pruning_core.intervals import paired_difference
from pruning_core.sensitivity.advice import advice, is_separated, more_samples, more_samples_within
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.estimates import Figure
from pruning_core.sensitivity.tally import Tally


def cell(lost: int, n: int = 1000, gained: int = 0, layer: str = "conv1", total: int | None = None) -> Cell:
    tally = Tally(n, n - lost, gained, lost, n - lost - gained, labelled=True)
    return Cell(layer, 0.5, 0.5, (tally,), (total or n,), "settled")


def test_the_number_is_that_of_the_formula() -> None:
    # drops -1 % and -2 % of 1000; half-widths of the paired intervals towards each other, z = 1.96 + 0.8416
    one, other = cell(10), cell(20)
    width = sqrt((-0.01 - paired_difference(0, 10, 1000)[0]) ** 2 + (paired_difference(0, 20, 1000)[1] + 0.02) ** 2)
    ratio = width * (1 + 0.8416212 / 1.959964) / 0.01
    assert more_samples(one, other) == more_samples(other, one) == ceil(1000 * (ratio**2 - 1))
    assert 1000 < (more_samples(one, other) or 0) < 2500  # by hand: 2.8^2 (0.01 + 0.02) / 0.01^2 = 2350 in all


def test_what_is_apart_needs_none_and_what_is_equal_has_no_number() -> None:
    assert is_separated(cell(5), cell(50))
    assert more_samples(cell(5), cell(50)) == 0
    assert not is_separated(cell(10), cell(20))
    assert more_samples(cell(10), cell(10)) is None


def test_twice_the_difference_needs_a_quarter_of_all() -> None:
    # the same changes, 10 more or 20 more of them losses
    near, far = (
        more_samples(cell(50, gained=50), cell(55, gained=45)),
        more_samples(cell(50, gained=50), cell(60, gained=40)),
    )
    assert near
    assert far
    assert (near + 1000) / (far + 1000) == pytest.approx(4, rel=0.01)


def test_a_part_of_the_examples_counts_as_what_it_is() -> None:
    part = more_samples(cell(3, 300, total=2000), cell(6, 300, total=2000)) or 0
    whole = more_samples(cell(20, 2000), cell(40, 2000)) or 0
    assert part + 300 > whole + 2000  # 300 examples leave more open than 2000


def test_of_two_cells_the_one_that_saw_fewest_counts() -> None:
    part, whole = cell(3, 300, total=2000), cell(30, 2000)
    (low, _), (_, high) = part.drop_interval, whole.drop_interval
    ratio = sqrt((part.drop - low) ** 2 + (high - whole.drop) ** 2) * (1 + 0.8416212 / 1.959964)
    assert more_samples(part, whole) == ceil(300 * ((ratio / (part.drop - whole.drop)) ** 2 - 1))


def test_a_bracketed_cell_stands_for_what_its_neighbours_saw() -> None:
    seen = Tally(64, 64, agreeing=64, labelled=True)
    bracketed = Cell("fc", 0.5, 0.5, (seen,), (2000,), "bracketed", Figure(-0.001, -0.006, 0.004, 0.004))
    assert more_samples_within(bracketed, 0.0025) == 3 * 2000


def test_narrowing_one_cell() -> None:
    low, high = paired_difference(0, 10, 1000)
    half = max(-0.01 - low, high + 0.01)
    assert more_samples_within(cell(10), half) == 0
    assert more_samples_within(cell(10), 2 * half) == 0
    assert more_samples_within(cell(10), half / 2) == 3000
    with pytest.raises(ValueError, match="above 0"):
        more_samples_within(cell(10), 0.0)


def test_the_advice_is_one_sentence() -> None:
    assert advice(cell(10), cell(10, layer="fc")) == (
        "conv1 at 50% and fc at 50% lost the same here; no number of samples is known to separate them"
    )
    assert advice(cell(50), cell(5, layer="fc")) == "fc at 50% loses less than conv1 at 50%, beyond chance (95 %)"
    assert advice(cell(10), cell(20, layer="fc")) == (
        "about 1,500 more samples would separate conv1 at 50% and fc at 50%, if their drops are as measured"
    )


@pytest.mark.parametrize("together", [0.0, 0.3])
def test_the_advised_number_separates_in_most_runs(together: float) -> None:
    # drops of 1 % and 2 %, `together` of the former in both: of 2000 runs 80 % - 4 points (standard error 0.9 points)
    n, both = 1000, 0.01 * together
    more = more_samples(cell(10, n), cell(20, n))
    assert more
    counts = np.random.default_rng(8).multinomial(n + more, (both, 0.01 - both, 0.02 - both, 0.97 + both), size=2000)
    separated = [
        is_separated(cell(k + one, n + more), cell(k + other, n + more)) for k, one, other, _ in counts.tolist()
    ]
    assert np.mean(separated) >= 0.76


def test_from_a_noisy_first_look_it_separates_in_most_runs() -> None:
    # the first 1000 examples give the advice, which is about as wrong as they are, and that many new ones are added
    rng, n, runs = np.random.default_rng(9), 1000, []
    for _ in range(600):
        first = rng.binomial(n, (0.01, 0.02))
        more = more_samples(*(cell(int(count), n) for count in first))
        if more and more < 100_000:
            both = first + rng.binomial(more, (0.01, 0.02))
            runs.append(is_separated(*(cell(int(count), n + more) for count in both)))
    assert len(runs) > 200
    assert np.mean(runs) > 0.8  # not apart yet, so the first difference is rather too small
