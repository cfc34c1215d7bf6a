"""Background work of this process: one job at a time, in the order of asking; it outlives reruns, reloads and tabs.

A job never touches a page. Pages poll it; equal requests share one job. Latency is measured here too, so never beside a
sweep.
"""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, RLock, get_native_id
from time import perf_counter
from typing import Any
from uuid import uuid4

from explorer import resources
from pruning_core import PruningError, Request, masked_copy, masks_for, sweep
from pruning_core.exporters import export
from pruning_core.latency import Latency
from pruning_core.measure import latency_of
from pruning_core.plan import Plan
from pruning_core.sensitivity.cells import Sweep
from pruning_core.sensitivity.sweep import Progress


def _step_back() -> None:
    """Let pages go first: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job", initializer=_step_back)
_lock = RLock()
_jobs: dict[str, "Job"] = {}
_curves: dict[Hashable, Sweep] = {}
JOBS_KEPT = 200
RUNTIME = "onnxruntime"
LATENCY_SECONDS = 4.0


@dataclass
class Job:
    """One piece of background work and what is known of it so far."""

    key: Hashable
    title: str
    id: str = field(default_factory=lambda: uuid4().hex)
    state: str = "waiting"  # then running, then done, stopped or failed
    error: str = ""
    progress: Progress | None = None
    partial: Sweep | None = None
    result: Any = None
    started: float = 0.0
    seconds: float = 0.0
    _cancel: Event = field(default_factory=Event)
    _future: "Future[None] | None" = None

    @property
    def live(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Ask it to stop; what is finished is kept."""
        self._cancel.set()
        if self._future and self._future.cancel():
            self.state = "stopped"

    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set()


def start(key: Hashable, title: str, work: Callable[[Job], Any]) -> Job:
    """Queue `work(job)`, or return the live job with the same key."""
    with _lock:
        for job in _jobs.values():
            if job.key == key and job.live:
                return job
        job = Job(key, title)
        _jobs[job.id] = job
        while len(_jobs) > JOBS_KEPT:
            _jobs.pop(next(iter(_jobs)))
        job._future = _pool.submit(_run, job, work)
        return job


def find(job_id: str | None) -> Job | None:
    """Return the job with this id, if this server knows it."""
    return _jobs.get(job_id or "")


def live_sweep(model: str, data: str | None) -> Job | None:
    """Return the sweep of this model and data that waits or runs, whoever asked for it."""
    jobs = (job for job in _jobs.values() if job.live and isinstance(job.key, tuple) and job.key[0] == "sweep")
    return next((job for job in jobs if job.key[1:3] == (model, data)), None)  # type: ignore[index]


def stop_all() -> None:
    """Stop everything; called when the server ends."""
    for job in list(_jobs.values()):
        job.cancel()
    _pool.shutdown(wait=False, cancel_futures=True)


def _run(job: Job, work: Callable[[Job], Any]) -> None:
    job.state, job.started = "running", perf_counter()
    try:
        job.result = work(job)
        job.state = "stopped" if job.cancelled() else "done"
    except PruningError as error:
        job.state, job.error = "failed", str(error)
    except Exception:
        job.state, job.error = "failed", "a defect stopped this job; the server's log has the details"
        traceback.print_exc()
    finally:
        job.seconds = perf_counter() - job.started


def start_sweep(model: str, data: str, request: Request) -> Job:
    """Sweep in the background; cells appear in `curves` as they come."""

    def work(job: Job) -> Sweep:
        reference = resources.reference(model, data)

        def note(progress: Progress) -> None:
            job.progress = progress
            job.partial = _remember(model, data, request, job.partial, progress)

        result = sweep(
            reference.model,
            reference.dataset.validation,  # type: ignore[union-attr]
            request,
            ranking=reference.ranking,
            replay=reference.replay,
            cancelled=job.cancelled,
            on_progress=note,
        )
        for cell in result.cells:
            _keep(curve_key(model, data, request), result, cell)
        return result

    return start(("sweep", model, data, repr(request)), f"Sweep of {model}", work)


def curve_key(model: str, data: str | None, request: Request) -> Hashable:
    """Return what a curve depends on, the samples left out: more of them only narrow it."""
    return (model, data, request.granularity, request.criterion, tuple(sorted(request.settings.items())))


def curves(model: str, data: str | None, request: Request) -> Sweep | None:
    """Return all cells known for this way of pruning."""
    return _curves.get(curve_key(model, data, request))


def _remember(model: str, data: str, request: Request, partial: Sweep | None, progress: Progress) -> Sweep:
    blank = Sweep(
        model, data, 0, None, None, request.granularity, request.criterion, request.settings, False, (), 0, {}
    )
    partial = (partial or blank).with_cell(progress.cell)
    _keep(curve_key(model, data, request), blank, progress.cell)
    return partial


def _keep(key: Hashable, blank: Sweep, cell: Any) -> None:
    """Put the cell into the store unless one of more examples is there."""
    with _lock:
        known = _curves.get(key, blank)
        older = next((c for c in known.cells if (c.layer, c.sparsity) == (cell.layer, cell.sparsity)), None)
        if older is None or older.tally.n <= cell.tally.n:
            known = known.with_cell(cell)
        _curves[key] = known


def start_latency(model: str, data: str | None, plan: Plan) -> Job:
    """Measure dense against pruned, alone: the queue lets nothing run beside it."""

    def work(job: Job) -> Latency:
        reference = resources.reference(model, data)
        loaded = reference.model
        masks = masks_for(loaded, plan, ranking=reference.ranking)
        example = loaded.example_inputs[0][:1]
        return latency_of(loaded, masked_copy(loaded, masks), example, RUNTIME, LATENCY_SECONDS, job.cancelled)

    return start(_latency_key(model, data, plan), f"Latency of {model}", work)


def latency_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest measurement of this plan, live or finished."""
    key = _latency_key(model, data, plan)
    return next((job for job in reversed(list(_jobs.values())) if job.key == key), None)


def _latency_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    wishes = sorted((n, w.model_dump_json(exclude={"locked"})) for n, w in plan.layers.items() if w.sparsity > 0)
    return ("latency", model, data, plan.scope, tuple(wishes))


@dataclass(frozen=True)
class Exported:
    """Files of one export and their report."""

    files: tuple[Path, ...]
    report: dict[str, Any]


def start_export(model: str, data: str | None, plan: Plan) -> Job:
    """Write all files of a plan to a private folder, measured on the test split."""

    def work(job: Job) -> Exported:
        reference = resources.reference(model, data)
        dataset = reference.dataset
        folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-"))
        test, calibration = (dataset.test, dataset.calibration) if dataset else (None, None)
        files = export(reference.model, plan, folder, test, calibration=calibration)
        report = next((path for path in files if path.name == "report.json"), None)
        return Exported(tuple(files), json.loads(report.read_text("utf-8")) if report else {})

    return start(_export_key(model, data, plan), f"Export of {model}", work)


def export_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest export of this plan."""
    key = _export_key(model, data, plan)
    return next((job for job in reversed(list(_jobs.values())) if job.key == key), None)


def _export_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    return ("export", model, data, plan.to_json())
