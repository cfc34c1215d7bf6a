"""`Effort`: how much of a sweep's work is done, and about how much is left."""

from collections.abc import Mapping

from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.estimates import tolerance_of
from pruning_core.sensitivity.lines import Key

USUAL = 0.3  # of the examples that a cell needs, before anything but its preview is known


class Effort:
    """Work in multiply-accumulates. What an anytime sweep still needs is guessed from how wide the intervals are."""

    def __init__(self, costs: Mapping[Key, int], n_examples: int, exact: bool) -> None:
        self.costs, self.n_examples, self.exact = costs, n_examples, exact
        self._n = dict.fromkeys(costs, 0)
        self._left = {key: cost * n_examples * (1.0 if exact else USUAL) for key, cost in costs.items()}
        self._spent, self._recalled, self._all_left = 0.0, 0.0, sum(self._left.values())
        self._share = 0.0

    def note(self, cell: Cell, recalled: bool) -> None:
        """Take in what is new of a cell; `recalled` is what was measured before this run."""
        key = cell.layer, cell.sparsity
        if key not in self.costs:  # it shows what was measured of another that removes the same
            return
        done = self.costs[key] * max(0, cell.tally.n - self._n[key])
        self._n[key] = cell.tally.n
        self._spent += done
        self._recalled += done if recalled else 0
        left = self.costs[key] * self._examples_left(cell)
        self._all_left += left - self._left[key]
        self._left[key] = left

    @property
    def share(self) -> float:
        """Done of all work; it never falls."""
        done = self._spent / max(1.0, self._spent + max(0.0, self._all_left))
        self._share = max(self._share, min(1.0, done))
        return self._share

    @property
    def recalled(self) -> float:
        """Known before this run, of all work."""
        return self.share * self._recalled / max(1.0, self._spent)

    def _examples_left(self, cell: Cell) -> float:
        n = cell.tally.n
        if cell.done:
            return 0.0
        if self.exact:
            return self.n_examples - n
        if cell.state == "preview" or not n:
            return max(0.0, USUAL * self.n_examples - n)
        figure = cell.figure
        wider = figure.margin / tolerance_of(figure.value)
        return max(0.0, min(self.n_examples, n * wider**2) - n)
