"""What is read off a cell: each member of the seam, by hand, and what needs labels."""

from math import exp

import pytest

from pruning_core.errors import DataError
from pruning_core.sensitivity import Cell, Tally
from pruning_core.sensitivity.estimates import Figure
from pruning_core.sensitivity.readings import READINGS

SUMS = {"kl": 2.0, "rise": 4.0, "rise_squares": 0.5, "kl_squares": 0.2}
TALLY = Tally(n=100, correct=85, gained=2, lost=7, agreeing=88, loss=30.0, labelled=True, **SUMS)
CELL = Cell("fc", 0.5, 0.5, (TALLY,))
VALUES = {"accuracy": -0.05, "loss": 0.04, "perplexity": exp(0.04), "kl": 0.02, "agreement": -0.12}


def test_every_member_is_known_here() -> None:
    assert VALUES.keys() == READINGS.keys()


@pytest.mark.parametrize("name", READINGS)
def test_a_reading_is_that_of_the_sums_with_an_interval_around_it(name: str) -> None:
    found = READINGS[name](CELL)
    assert found.value == pytest.approx(VALUES[name])
    assert found.low < found.value < found.high
    assert found.margin == 0.0  # all examples are in
    assert READINGS[name].doc.endswith(".")


@pytest.mark.parametrize("name", READINGS)
def test_the_dense_model_stands_where_its_member_says(name: str) -> None:
    dense = Cell("fc", 0.5, 0.5, (Tally(n=100, correct=90, agreeing=100, loss=20.0, labelled=True),))
    assert READINGS[name](dense).value == pytest.approx(READINGS[name].dense)
    worse = READINGS[name](CELL).value - READINGS[name].dense
    assert (worse < 0) == READINGS[name].higher_is_better


def test_without_labels_only_what_needs_none_is_read() -> None:
    bare = Cell("fc", 0.5, 0.5, (Tally(n=100, agreeing=88, kl=2.0, kl_squares=0.2),))
    for name, reading in READINGS.items():
        if reading.needs_labels:
            with pytest.raises(DataError, match="needs labels, and the data has none; kl and agreement work without"):
                reading(bare)
        else:
            assert reading(bare).value == pytest.approx(VALUES[name])


def test_a_bracketed_cell_reads_its_neighbours_for_the_metric_that_settled_them() -> None:
    between = Figure(-0.01, -0.02, 0.0, 0.004)
    bracketed = Cell("fc", 0.5, 0.5, (TALLY,), (2000,), "bracketed", between)
    assert READINGS["accuracy"](bracketed) == between
    assert READINGS["kl"](bracketed).value == pytest.approx(0.02)
