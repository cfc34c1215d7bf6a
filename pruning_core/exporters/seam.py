"""SEAM exporters: one file of an export, `(bundle, path) -> None`.

Adding one: a file in this folder with a function decorated with `@exporter(...)`. Nothing else changes anywhere.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from pruning_core.data import EvalData
from pruning_core.errors import ExportError
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.registry import Registry
from pruning_core.report import Report
from pruning_core.slimming import Slimmed


@dataclass(frozen=True, eq=False)
class Bundle:
    """All that an exporter may write: a pruned model and what was measured on it."""

    model: Model
    plan: Plan
    masks: Mapping[str, Tensor]  # layer -> bool (out, in, *kernel), of the layers that lose something
    masked: nn.Module
    report: Report | None = None  # None where there is no data to measure on
    onnx: bytes | None = None  # the smallest form, not yet checked; None where no exporter needs it
    data: EvalData | None = None  # what was measured on
    calibration: EvalData | None = None  # what criteria saw, where not `data`
    slimmed: Slimmed | None = None  # None where no whole channel or head goes

    @property
    def smallest(self) -> nn.Module:
        """The form that is run: slimmed where there is one, else masked."""
        return self.masked if self.slimmed is None else self.slimmed.module

    def with_notes(self, files: Iterable[str], left_dense: Mapping[str, str]) -> "Bundle":
        """Return a copy whose report names `files`, and the layers left dense with the reason."""
        if self.report is None:
            return self
        return replace(self, report=replace(self.report, files=tuple(files), left_dense=dict(left_dense)))


NEEDS: dict[str, tuple[Callable[[Bundle], object], str]] = {
    "report": (lambda bundle: bundle.report, "there is no data to measure on"),
    "data": (lambda bundle: bundle.data, "there is no data to measure on"),
    "onnx": (lambda bundle: bundle.onnx, "the model was not converted to ONNX"),
    "slimmed": (lambda bundle: bundle.slimmed, "the plan removes no whole channel or head"),
    "architecture": (
        lambda bundle: bundle.model.architecture,
        "it is not known how to build the model from source; load it with its architecture",
    ),
}
Write = Callable[[Bundle, Path], None]
T = TypeVar("T")


def known(value: T | None) -> T:
    """Return what `needs` has made sure of."""
    if value is None:
        raise ExportError("an exporter uses what it does not name in `needs`")
    return value


@dataclass(frozen=True)
class Exporter:
    """One member of the seam."""

    name: str
    label: str
    file_name: str
    needs: frozenset[str]
    function: Write

    @property
    def doc(self) -> str:
        """The first sentence of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def lacking(self, bundle: Bundle) -> str | None:
        """Return why this file cannot be written, or None."""
        missing = [NEEDS[need][1] for need in sorted(self.needs) if NEEDS[need][0](bundle) is None]
        return f"{self.file_name} cannot be written: {missing[0]}" if missing else None

    def write(self, bundle: Bundle, path: Path) -> None:
        """Write the file at `path`, or refuse in a sentence."""
        if why := self.lacking(bundle):
            raise ExportError(why)
        self.function(bundle, path)


EXPORTERS: Registry[Exporter] = Registry("export format")


def exporter(name: str, *, label: str, file_name: str, needs: Iterable[str] = ()) -> Callable[[Write], Write]:
    """Add a function to the seam."""

    def add(function: Write) -> Write:
        EXPORTERS.add(name, Exporter(name, label, file_name, frozenset(needs), function))
        return function

    return add
