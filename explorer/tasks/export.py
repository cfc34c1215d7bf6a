"""Export as a task: the files of a plan, measured on the test split and checked."""

import json
from pathlib import Path
from typing import Any

from explorer.loading import Subject
from explorer.tasks.task import Task
from pruning_core import Pruned, Reference, Report, measure, prune
from pruning_core.exporters import export, onnx_bytes
from pruning_core.plan import Plan


def run(task: Task, subject: Subject, plan: Plan, folder: Path) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Write all files of `plan` into `folder`; return them and their report."""
    reference = task.reference(subject)
    dataset = reference.dataset
    test, calibration = (dataset.test, dataset.calibration) if dataset else (None, None)
    pruned = prune(reference.model, plan, ranking=reference.ranking, data=test)
    report = _report(task, reference, plan, pruned) if dataset else None
    notes: dict[str, Any] = {"calibration": calibration, "report": report, "pruned": pruned}
    files = export(reference.model, plan, folder, test, **notes)
    written = next((path for path in files if path.name == "report.json"), None)
    return tuple(files), json.loads(written.read_text("utf-8")) if written else {}


def _report(task: Task, reference: Reference, plan: Plan, pruned: Pruned) -> Report:
    """Measure the plan on test data, once, with latency."""
    model, dataset = reference.model, reference.dataset
    return measure(
        model,
        dataset.test,  # type: ignore[union-attr]
        plan,
        latency=True,
        pruned=pruned,
        calibration=dataset.calibration,  # type: ignore[union-attr]
        onnx=onnx_bytes(model, pruned),
        progress=lambda done, total: task.note(done / total),
        cancelled=task.cancelled,
    )
