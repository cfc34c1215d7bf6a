"""SEAM metrics: one number about a model, from what it answered (`Outcome`) or from what it is made of (`Structure`).

A metric is a function `(outcome) -> Reading` or `(structure) -> Reading`. Adding one: a file in this folder with a
function decorated with `@metric(...)`. Nothing else changes anywhere.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

from torch import Tensor

from pruning_core.errors import DataError, PruningError
from pruning_core.evaluate import Outcome
from pruning_core.intervals import Interval
from pruning_core.registry import Registry

NEEDS: dict[
    str, tuple[Callable[[Any], object], str]
] = {  # what a metric may ask of its subject, and the refusal where it is missing
    "targets": (lambda subject: subject.targets, "the data has no targets"),
    "classes": (
        lambda subject: None if subject.targets is not None and not subject.is_scores else subject,
        "the outputs are numbers to predict, not classes; mean_squared_error and r2 fit",
    ),
    "scores": (
        lambda subject: subject if subject.is_scores else None,
        "the outputs are numbers, not class scores; relative_output_error fits",
    ),
    "numbers": (
        lambda subject: None if subject.is_scores else subject,
        "the outputs are class scores, not numbers to predict; loss and agreement fit",
    ),
    "varied": (
        lambda subject: subject.targets if subject.targets is not None and _differ(subject.targets) else None,
        "all targets are alike, so there is no variance to predict",
    ),
    "dense": (lambda subject: subject.dense_logits, "there are no outputs of the dense model to compare with"),
    "many_classes": (
        lambda subject: subject.logits if subject.logits.dim() > 1 and subject.logits.shape[-1] > 5 else None,
        "five of at most five classes are always right",
    ),
    "masks": (lambda subject: subject.masks, "only counts are known, not which weights are kept"),
    "n_m": (lambda subject: subject.storage.get("n_m"), "no layer keeps n of every m weights"),
}


def _differ(targets: Tensor) -> bool:
    return bool((targets != targets[:1]).any())


@dataclass(frozen=True)
class Reading:
    """What a metric function answers: a number, how it came about, its 95 % interval and its n where it has them."""

    value: float
    how: str
    interval: Interval | None = None
    n: int | None = None


@dataclass(frozen=True)
class Measurement:
    """A number that never travels alone."""

    value: float
    unit: str
    higher_is_better: bool
    interval: Interval | None  # 95 %
    how: str
    n: int | None  # examples


@dataclass(frozen=True)
class Metric:
    """One member of the seam; calling it measures."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    needs: frozenset[str]
    function: Callable[[Any], Reading]
    reads: type  # Outcome or Structure

    @property
    def doc(self) -> str:
        """The first sentence of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def lacking(self, subject: object) -> str | None:
        """Return why `subject` cannot be measured, or None."""
        if not isinstance(subject, self.reads):
            return f"{self.name} is measured on an {self.reads.__name__}, not on {type(subject).__name__}"
        missing = [NEEDS[need][1] for need in sorted(self.needs) if NEEDS[need][0](subject) is None]
        return f"{self.label} cannot be measured: {missing[0]}" if missing else None

    def __call__(self, subject: object) -> Measurement:
        """Measure, or refuse in a sentence."""
        if why := self.lacking(subject):
            raise (DataError if self.reads is Outcome else PruningError)(why)
        read = self.function(subject)
        return Measurement(read.value, self.unit, self.higher_is_better, read.interval, read.how, read.n)


METRICS: Registry[Metric] = Registry("metric")


def metric(
    name: str, *, label: str, unit: str, higher_is_better: bool, needs: Iterable[str] = ()
) -> Callable[[Callable[[Any], Reading]], Callable[[Any], Reading]]:
    """Add a function to the seam; what it reads is the annotation of its one parameter."""

    def add(function: Callable[[Any], Reading]) -> Callable[[Any], Reading]:
        hints = get_type_hints(function)
        reads = next(hint for parameter, hint in hints.items() if parameter != "return")
        METRICS.add(name, Metric(name, label, unit, higher_is_better, frozenset(needs), function, reads))
        return function

    return add


def measurements(*subjects: object) -> dict[str, Measurement]:
    """Return every metric that one of `subjects` (an Outcome, a Structure) has all it needs for."""
    found = {}
    for subject in subjects:
        for name, member in METRICS.items():
            if member.lacking(subject) is None:
                found[name] = member(subject)
    return found


__all__ = ["METRICS", "NEEDS", "Measurement", "Metric", "Outcome", "Reading", "measurements", "metric"]
