"""The job that writes and checks the files of a plan."""

import json
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any
from weakref import finalize

from explorer import jobs, resources
from explorer.jobs import Job
from pruning_core import Pruned, Reference, Report, measure, prune
from pruning_core.exporters import export, onnx_bytes
from pruning_core.plan import Plan


@dataclass(frozen=True)
class Exported:
    """Files of one export and their report; the files go with the job that holds this."""

    files: tuple[Path, ...]
    report: dict[str, Any]


def start_export(model: str, data: str | None, plan: Plan) -> Job:
    """Write all files of a plan to a private folder, measured on the test split."""

    def work(job: Job) -> Exported:
        reference = resources.reference(model, data)
        dataset = reference.dataset
        test, calibration = (dataset.test, dataset.calibration) if dataset else (None, None)
        pruned = prune(reference.model, plan, ranking=reference.ranking, data=test)
        report = _report(job, reference, plan, pruned) if dataset else None
        folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-"))
        notes: dict[str, Any] = {"calibration": calibration, "report": report, "pruned": pruned}
        try:
            files = export(reference.model, plan, folder, test, **notes)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        written = next((path for path in files if path.name == "report.json"), None)
        exported = Exported(tuple(files), json.loads(written.read_text("utf-8")) if written else {})
        finalize(exported, rmtree, folder, ignore_errors=True)
        return exported

    return jobs.start(_export_key(model, data, plan), f"Export of {model}", work)


def _report(job: Job, reference: Reference, plan: Plan, pruned: Pruned) -> Report:
    """Measure the plan on test data, once, with latency; nothing else runs in this queue."""

    def note(done: int, total: int) -> None:
        job.progress = done / total

    model, dataset = reference.model, reference.dataset
    return measure(
        model,
        dataset.test,  # type: ignore[union-attr]
        plan,
        latency=True,
        pruned=pruned,
        calibration=dataset.calibration,  # type: ignore[union-attr]
        onnx=onnx_bytes(model, pruned),
        progress=note,
        cancelled=job.cancelled,
    )


def export_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest export of this plan."""
    return jobs.newest(_export_key(model, data, plan))


def _export_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    return ("export", model, data, plan.to_json())
