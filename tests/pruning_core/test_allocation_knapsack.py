"""The knapsack against trying everything: the same optimum, always; and in time for large models."""

from itertools import product
from time import thread_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.allocation import knapsack
from pruning_core.allocation.knapsack import Choice, Row, least_value

NUMBERS = st.integers(0, 30)
ROWS = st.lists(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5).map(
        lambda options: Row(tuple(w for w, _ in options), tuple(v for _, v in options))
    ),
    max_size=5,
)


def by_trying_all(rows: list[Row], limit: int) -> tuple[int, int] | None:
    """The least value, and the least weight that has it."""
    found = []
    for options in product(*(range(len(row.weights)) for row in rows)):
        weight = sum(row.weights[o] for row, o in zip(rows, options, strict=True))
        if weight <= limit:
            found.append((sum(row.values[o] for row, o in zip(rows, options, strict=True)), weight))
    return min(found, default=None)


@settings(max_examples=400, deadline=None)
@given(ROWS, st.integers(0, 120))
def test_the_optimum_is_that_of_trying_everything(rows: list[Row], limit: int) -> None:
    found = least_value(rows, limit)
    assert (None if found is None else (found.value, found.weight)) == by_trying_all(rows, limit)
    if found is not None:
        assert found.gap == 0
        assert found.weight == sum(row.weights[o] for row, o in zip(rows, found.options, strict=True)) <= limit
        assert found.value == sum(row.values[o] for row, o in zip(rows, found.options, strict=True))


def test_a_hull_is_not_enough() -> None:
    rows = [Row((0, 5, 10), (100, 60, 0)), Row((0, 6), (50, 1))]  # greedy by slope takes (10, 0) and stops at value 50
    assert least_value(rows, 10) == Choice((2, 0), 10, 50)
    assert least_value(rows, 11) == Choice((2, 0), 10, 50)
    assert least_value(rows, 15) == Choice((2, 0), 10, 50)
    assert least_value(rows, 16) == Choice((2, 1), 16, 1)
    assert least_value([Row((0, 6, 10), (100, 40, 35)), Row((0, 5), (50, 0))], 11) == Choice((1, 1), 11, 40)


def test_nothing_fits_or_nothing_is_asked() -> None:
    assert least_value([Row((3,), (1,))], 2) is None
    assert least_value([], 0) == Choice((), 0, 0)


def curves(seed: int) -> list[Row]:
    """Sixty layers of ten levels: convex and rounded losses, kept weights of very different layers."""
    random = np.random.default_rng(seed)
    levels, rows = np.linspace(0, 0.9, 10), []
    for _ in range(60):
        size = int(random.integers(1000, 3_000_000))
        loss = np.round(random.uniform(0.01, 1) * levels ** random.uniform(1, 6) * 10_000 + random.integers(0, 9, 10))
        loss[0] = 0
        values = (np.maximum.accumulate(loss) * 10**8).astype(np.int64)
        rows.append(Row(tuple(int(size * (1 - level)) for level in levels), tuple(values.tolist())))
    return rows


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_sixty_layers_of_ten_levels_are_proved_within_two_seconds(seed: int, share: float) -> None:
    rows = curves(seed)
    limit, started = int(sum(row.weights[0] for row in rows) * share), thread_time()
    found = least_value(rows, limit)
    other = least_value([Row(row.values, row.weights) for row in rows], found.value if found else 0)
    assert thread_time() - started < 2
    assert found is not None
    assert other is not None
    assert (found.gap, other.gap) == (0, 0)
    assert other.value <= found.weight <= limit  # the least weight at that value, and none is lighter


def test_a_table_that_cannot_be_proved_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    weights = [tuple(sorted(random.integers(1, 10**9, 6).tolist(), reverse=True)) for _ in range(30)]
    rows = [Row(w, tuple(w[0] - x for x in w)) for w in weights]  # a subset sum: every choice is as good for its weight
    limit = sum(w[0] for w in weights) // 2
    monkeypatch.setattr(knapsack, "MOST", 512)
    found = least_value(rows, limit)
    assert found is not None
    assert found.weight <= limit
    best = sum(w[0] for w in weights) - limit  # no choice can be better than using the limit up
    assert 0 < found.gap < 1e-3 * found.value
    assert found.value - found.gap <= best <= found.value


def test_sums_that_would_not_be_exact_are_a_defect() -> None:
    with pytest.raises(ValueError, match="too large"):
        least_value([Row((1 << 61,), (0,))], 1)
