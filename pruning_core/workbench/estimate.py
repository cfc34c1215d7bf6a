"""`Estimate`: what is known so far of a plan's accuracy."""

from dataclasses import dataclass

from pruning_core.errors import DataError
from pruning_core.intervals import paired_difference, wilson
from pruning_core.sensitivity.tally import Tally


@dataclass(frozen=True)
class Estimate:
    """Accuracy of the present plan on the first `n` of `total` validation examples (their order is random)."""

    n: int
    total: int
    accuracy: float | None
    interval: tuple[float, float]  # Wilson, 95 %; of the agreement where there are no labels
    drop: float  # against the dense model on the same examples; agreement minus 1 without labels
    drop_interval: tuple[float, float]  # paired, 95 %

    @property
    def done(self) -> bool:
        """Whether all examples are in."""
        return self.n == self.total

    @staticmethod
    def of(tally: Tally, total: int) -> "Estimate":
        """Return what the `tally` of some of `total` examples says."""
        if not tally.n:
            raise DataError("nothing is measured yet; call refine() first")
        if tally.labelled:
            drop = (tally.gained - tally.lost) / tally.n
            paired = paired_difference(tally.gained, tally.lost, tally.n)
            return Estimate(tally.n, total, tally.correct / tally.n, wilson(tally.correct, tally.n), drop, paired)
        low, high = wilson(tally.agreeing, tally.n)
        return Estimate(tally.n, total, None, (low, high), tally.agreeing / tally.n - 1, (low - 1, high - 1))
