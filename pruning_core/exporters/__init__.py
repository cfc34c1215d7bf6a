"""Exports: the files in which a pruned model leaves the tool."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory

from pruning_core.data import EvalData
from pruning_core.errors import ExportError
from pruning_core.exporters.seam import EXPORTERS, Bundle, Exporter, exporter
from pruning_core.measure import certificate, measure
from pruning_core.model import Model
from pruning_core.onnx_export import onnx_layer_nodes, to_onnx
from pruning_core.plan import Plan
from pruning_core.report import Report
from pruning_core.slim import Pruned, prune
from pruning_core.slimming import LivingModule

for _module in iter_modules(__path__):  # a file added to this folder is a member without further ado
    import_module(f"{__name__}.{_module.name}")

__all__ = ["EXPORTERS", "Bundle", "Exporter", "bundle_of", "export", "exporter", "onnx_bytes", "onnx_layer_nodes"]


def export(
    model: Model,
    plan: Plan,
    directory: str | Path,
    data: EvalData | None = None,
    formats: Iterable[str] | None = None,
    *,
    calibration: EvalData | None = None,
    report: Report | None = None,
    left_dense: Mapping[str, str] | None = None,
    pruned: Pruned | None = None,
) -> list[Path]:
    """Write the pruned model to `directory`, in all formats it has what is needed for, or exactly in those named.

    The report lists the layers of `left_dense`, each with the reason.
    All files are written under another name first, so that a failure leaves nothing half done.
    """
    chosen = [EXPORTERS[name] for name in (EXPORTERS if formats is None else formats)]
    bundle = bundle_of(model, plan, data, chosen, calibration, report, pruned)
    if formats is None:
        chosen = [member for member in chosen if member.lacking(bundle) is None]
    bundle = bundle.with_notes((member.file_name for member in chosen), left_dense or {})
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            for member in chosen:
                member.write(bundle, Path(scratch) / member.file_name)
            for member in chosen:
                os.replace(Path(scratch) / member.file_name, folder / member.file_name)
    except OSError as error:
        raise ExportError(f"cannot write to {folder}: {error}") from None
    return [folder / member.file_name for member in chosen]


def bundle_of(
    model: Model,
    plan: Plan,
    data: EvalData | None,
    chosen: Iterable[Exporter] = (),
    calibration: EvalData | None = None,
    report: Report | None = None,
    pruned: Pruned | None = None,
) -> Bundle:
    """Return what the `chosen` exporters need; the model is measured when one reports and no `report` is given."""
    needs = {need for member in chosen for need in member.needs}
    pruned = pruned or prune(model, plan, calibration or data, data=data)
    onnx = onnx_bytes(model, pruned) if "onnx" in needs else None
    if report is None and data is not None and "report" in needs:
        report = measure(model, data, plan, pruned=pruned)
    if report is not None and onnx is not None:
        report = replace(report, certificate=certificate(pruned, model, data, onnx))
    return Bundle(model, plan, pruned.masks, pruned.masked, report, onnx, data, calibration, pruned.slimmed)


def onnx_bytes(model: Model, pruned: Pruned | None = None) -> bytes:
    """Return the model, or the smallest form of the pruned one, as a serialised ONNX model."""
    if pruned is not None and pruned.slimmed is not None:
        return to_onnx(pruned.slimmed.module, model.example_inputs)
    masked = pruned.masked if pruned else model.module
    return to_onnx(masked, model.example_inputs, None if isinstance(masked, LivingModule) else model.module)
