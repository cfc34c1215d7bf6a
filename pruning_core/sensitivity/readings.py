"""SEAM readings: what can be read off a cell, each a `Figure` with its interval.

Adding one: a function `(strata, sizes) -> Figure` under `@reading(...)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp

from pruning_core.errors import DataError
from pruning_core.registry import Registry
from pruning_core.sensitivity import estimates
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.estimates import Figure
from pruning_core.sensitivity.tally import Tally

Read = Callable[[Sequence[Tally], Sequence[int]], Figure]


@dataclass(frozen=True)
class Reading:
    """One member: `scale` times the figure is what is shown, in `unit`; `dense` is where the dense model stands.

    At a distance of `large` from it, as shown, a model is of no more use.
    """

    name: str
    label: str
    unit: str
    scale: float
    dense: float
    large: float
    higher_is_better: bool
    needs_labels: bool
    function: Read

    @property
    def doc(self) -> str:
        """The first sentence of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def __call__(self, cell: Cell) -> Figure:
        """Return the figure of a cell, in its own unit; `DataError` where it needs labels and there are none."""
        if self.needs_labels and not cell.tally.labelled:
            raise DataError(f"{self.label} needs labels, and the data has none; kl and agreement work without")
        if cell.between and self.name == cell.metric:
            return cell.between
        return self.function(cell.strata, cell.all_sizes)  # of a bracketed cell: what its preview says


READINGS: Registry[Reading] = Registry("metric")


def reading(
    name: str,
    label: str,
    unit: str,
    *,
    large: float,
    scale: float = 1,
    dense: float = 0,
    higher: bool = False,
    labels: bool = True,
) -> Callable[[Read], Read]:
    """Register a reading."""

    def add(function: Read) -> Read:
        READINGS.add(name, Reading(name, label, unit, scale, dense, large, higher, labels, function))
        return function

    return add


@reading("accuracy", "Change of accuracy", "pt", large=40, scale=100, higher=True)
def accuracy(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Accuracy minus that of the dense model, on the same examples."""
    return estimates.drop_of(strata, sizes)


@reading("loss", "Rise of loss", "nats", large=2)
def loss(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Cross entropy minus that of the dense model."""
    return estimates.rise_of(strata, sizes)


@reading("perplexity", "Perplexity over dense", "×", large=7, dense=1)
def perplexity(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Perplexity divided by that of the dense model: exp of the rise of loss."""
    rise = estimates.rise_of(strata, sizes)
    value, low, high = (exp(min(number, 50.0)) for number in (rise.value, rise.low, rise.high))
    return replace(rise, value=value, low=low, high=high, margin=value * (exp(min(rise.margin, 50.0)) - 1))


@reading("kl", "KL divergence from the dense model", "nats", large=2, labels=False)
def kl(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """KL(dense || pruned) of the softmax outputs."""
    return estimates.kl_of(strata, sizes)


@reading("agreement", "Change of agreement with the dense model", "pt", large=40, scale=100, higher=True, labels=False)
def agreement(strata: Sequence[Tally], sizes: Sequence[int]) -> Figure:
    """Share of examples answered as by the dense model, minus 1."""
    figure = estimates.agreement_of(strata, sizes)
    return replace(figure, value=figure.value - 1, low=figure.low - 1, high=figure.high - 1)
