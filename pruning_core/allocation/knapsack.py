"""The multiple-choice knapsack, solved exactly: one option for each row, least value under a limit on weight.

Rows are added one by one to the set of partial choices that are worth keeping. A partial choice goes when another one
has neither more weight nor more value (dynamic programming over the Pareto front: Nemhauser and Ullmann 1969,
doi:10.1287/mnsc.15.9.494), and when even the Lagrangian bound of what is left cannot beat a known full choice (Dyer,
Riha and Walker 1995, doi:10.1016/0377-2217(93)E0193-Y). Both rules never lose an optimum; all sums are whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
BEAM = 256  # partial choices kept at a time by the first, inexact pass; it finds the full choice to beat
MOST = 1 << 14  # partial choices kept at a time; a table that needs more is left with a gap, which is told
LARGEST = 1 << 61  # sums must stay below


@dataclass(frozen=True)
class Row:
    """The options of one row, each with its weight and its value."""

    weights: tuple[int, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """One option for each row, and the sums."""

    options: tuple[int, ...]
    weight: int
    value: int
    gap: int = 0  # 0: proved to be the least value; else no choice is better by more than this


def least_value(rows: Sequence[Row], limit: int) -> Choice | None:
    """Return the choice of least value whose weight is at most `limit`; None where no choice is that light.

    Among equals the lightest one.
    """
    if sum(max(abs(x) for x in (*row.weights, *row.values)) for row in rows) >= LARGEST:
        raise ValueError("weights or values are too large for exact sums")
    tables = [_Table.of(row) for row in rows]
    if sum(table.lightest for table in tables) > limit:
        return None
    price = _price(tables, limit)
    order = sorted(range(len(rows)), key=lambda i: -tables[i].spread(price))  # those that decide most come first
    search = _Search([tables[i] for i in order], limit, price)
    first, _ = search.run(None, BEAM)
    best, is_proved = search.run(first, MOST)
    options = [0] * len(rows)
    for i, option in zip(order, best or first, strict=True):
        options[i] = option
    chosen = list(zip(rows, options, strict=True))
    weight, value = sum(row.weights[o] for row, o in chosen), sum(row.values[o] for row, o in chosen)
    return Choice(tuple(options), weight, value, 0 if is_proved else max(0, value - search.least_bound))


@dataclass(frozen=True)
class _Table:
    """The options of a row that no other one of it beats, from the lightest on."""

    options: Ints
    weights: Ints
    values: Ints

    @staticmethod
    def of(row: Row) -> "_Table":
        weights, values = np.array(row.weights, np.int64), np.array(row.values, np.int64)
        kept = _front(weights, values)
        return _Table(kept, weights[kept], values[kept])

    @property
    def lightest(self) -> int:
        return int(self.weights[0])

    def bound(self, price: float) -> float:
        """Return the least value of the row when weight is paid for at `price`."""
        return float((self.values + price * self.weights).min())

    def spread(self, price: float) -> float:
        """Return how far apart the options are, weight paid for."""
        paid = self.values + price * self.weights
        return float(paid.max() - paid.min())

    def steps(self) -> list[tuple[Fraction, int]]:
        """Return the steps of the lower convex hull: value saved for each unit of weight, falling; and the weight."""
        hull: list[int] = []
        for i in range(len(self.options)):
            while len(hull) > 1 and self._slope(hull[-2], hull[-1]) <= self._slope(hull[-2], i):
                hull.pop()
            hull.append(i)
        return [(self._slope(a, b), int(self.weights[b] - self.weights[a])) for a, b in pairwise(hull)]

    def _slope(self, a: int, b: int) -> Fraction:
        return Fraction(int(self.values[a] - self.values[b]), int(self.weights[b] - self.weights[a]))


def _price(tables: Sequence[_Table], limit: int) -> float:
    """Return the price of weight at which the linear relaxation uses up the limit: the best multiplier of the bound."""
    room = limit - sum(table.lightest for table in tables)
    for slope, weight in sorted((step for table in tables for step in table.steps()), reverse=True):
        room -= weight
        if room < 0:
            return float(slope)
    return 0.0


def _front(weights: Ints, values: Ints) -> Ints:
    """Return the places, by weight, of those that no other beats in both; of equals the first."""
    order = np.lexsort((values, weights))
    best = np.minimum.accumulate(values[order])
    better = np.ones(len(order), bool)
    better[1:] = best[1:] < best[:-1]
    return order[better]


class _Search:
    """Partial choices of the first rows, row by row."""

    def __init__(self, tables: Sequence[_Table], limit: int, price: float) -> None:
        self.tables, self.limit, self.price = tables, limit, price
        self.lightest = _rest([table.lightest for table in tables])
        self.bounds = _rest([table.bound(price) for table in tables])
        self.slack = 1e-9 * sum(float(np.abs(t.values).max() + price * np.abs(t.weights).max()) for t in tables)

    @property
    def least_bound(self) -> int:
        """A value that no full choice is below."""
        return floor(self.bounds[0] - self.price * self.limit - self.slack)

    def run(self, to_beat: list[int] | None, most: int) -> tuple[list[int], bool]:
        """Return the best full choice that was found, empty where none is better than `to_beat`, and if it is proved.

        It is proved unless more than `most` partial choices had to be kept at a time: then the most hopeful ones are.
        """
        known = None if not to_beat else self._value(to_beat)
        is_proved = True
        weights, values = np.zeros(1, np.int64), np.zeros(1, np.int64)
        history: list[tuple[Ints, Ints]] = []
        for i, table in enumerate(self.tables):
            weight = (weights[:, None] + table.weights).ravel()
            value = (values[:, None] + table.values).ravel()
            kept = np.flatnonzero(weight + self.lightest[i + 1] <= self.limit)
            bound = value[kept] + self.price * (weight[kept] - self.limit) + self.bounds[i + 1]
            if known is not None:
                better = bound <= known + self.slack
                kept, bound = kept[better], bound[better]
            front = _front(weight[kept], value[kept])
            if len(front) > most:
                is_proved = False
                hopeful = np.argpartition(bound[front], most // 2)[: most // 2]
                spread = np.linspace(0, len(front) - 1, most // 2).astype(np.int64)  # the lightest one always fits
                front = front[np.union1d(hopeful, spread)]
            kept = kept[front]
            weights, values = weight[kept], value[kept]
            history.append((kept // len(table.options), table.options[kept % len(table.options)]))
        if not len(weights):
            return [], is_proved
        return self._options(history, len(weights) - 1), is_proved  # the heaviest of a front has the least value

    def _value(self, options: list[int]) -> int:
        return sum(int(t.values[t.options == o][0]) for t, o in zip(self.tables, options, strict=True))

    @staticmethod
    def _options(history: Sequence[tuple[Ints, Ints]], place: int) -> list[int]:
        options = []
        for parents, chosen in reversed(history):
            options.append(int(chosen[place]))
            place = int(parents[place])
        return options[::-1]


def _rest(numbers: Sequence[float]) -> list[float]:
    """Return the sum of each number and all after it, and 0 at the end."""
    total, sums = type(numbers[0])(0) if numbers else 0, []
    for number in reversed(numbers):
        sums.append(total)
        total += number
    return [*reversed([*sums, total])]
