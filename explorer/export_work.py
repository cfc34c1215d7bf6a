"""The job that writes and checks the files of a plan."""

import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any
from weakref import finalize

from explorer import jobs, resources, state
from explorer.jobs import Job
from explorer.tasks import export
from pruning_core.plan import Plan


@dataclass(frozen=True)
class Exported:
    """Files of one export and their report; the files go with the job that holds this."""

    files: tuple[Path, ...]
    report: dict[str, Any]


def start_export(model: str, data: str | None, plan: Plan) -> Job:
    """Write all files of a plan to a private folder, measured on the test split.

    Latency is among it, after accuracies, so that sweeps stand by then.
    """

    def work(job: Job) -> Exported:
        folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-"))
        try:
            exported = Exported(*job.run(export.run, resources.subject(model, data), plan, folder))
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        finalize(exported, rmtree, folder, ignore_errors=True)
        return exported

    key = _export_key(model, data, plan)
    return jobs.start(key, f"Export of {model}", work, lane=jobs.INTERACTIVE, session=state.session())


def export_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest export of this plan."""
    return jobs.newest(_export_key(model, data, plan))


def _export_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    return ("export", model, data, plan.to_json())
