"""The jobs of this app: sweeps and latency; and the curves that sweeps have found so far."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from threading import RLock

from explorer import jobs, resources, state
from explorer.jobs import Job
from explorer.settings import SETTINGS
from explorer.tasks import latency, sweep
from explorer.tasks.latency import Timed
from pruning_core import Request
from pruning_core.plan import Plan
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.store import Store
from pruning_core.sensitivity.sweep import Progress, document_of

LATENCY_SECONDS = 4.0
CURVES_KEPT = 500
_lock = RLock()
_curves: dict[Hashable, Sweep] = {}


def live_sweep(model: str, data: str | None) -> Job | None:
    """Return the sweep of this model and data that waits or runs, whoever asked for it."""
    job = last_sweep(model, data)
    return job if job and job.live else None


def start_sweep(model: str, data: str, request: Request) -> Job:
    """Sweep in the background; cells appear in `curves` as they come."""

    def work(job: Job) -> Sweep:
        def note(progress: Progress) -> None:
            job.progress = progress

        return sweep_and_keep(job, model, data, request, note)

    key = sweep_key(model, data, request)
    return jobs.start(key, f"Sweep of {model}", work, session=state.session())


def sweep_key(model: str, data: str, request: Request) -> Hashable:
    """Return what makes two sweeps the same."""
    return "sweep", model, data, repr(request)


def sweep_and_keep(job: Job, model: str, data: str, request: Request, note: Callable[[Progress], None]) -> Sweep:
    """Sweep as a part of `job`; cells appear in `curves` as they come."""
    subject, examples = resources.subject(model, data), resources.dataset(data, model).validation
    n = min(request.samples or len(examples), len(examples))
    key, ways = curve_key(model, data, request), (request.granularity, request.criterion, request.settings)
    about = Sweep(model, data, n, None, None, *ways, False, (), 0, {})

    def keep(batch: Sequence[Progress]) -> None:
        _keep(key, about, tuple(progress.cell for progress in batch))
        note(batch[-1])

    result: Sweep = job.run(sweep.run, subject, request, note=keep, resumable=True)
    _keep(key, result, (*result.cells, *result.failed))
    return result


def curve_key(model: str, data: str | None, request: Request) -> Hashable:
    """Return what a curve depends on, the samples left out: more of them only narrow it."""
    ways = (request.target, request.granularity, request.criterion, tuple(sorted(request.settings.items())))
    return (model, data, *ways, request.channel_multiple, request.through_norms, request.heads)


def curves(model: str, data: str | None, request: Request) -> Sweep | None:
    """Return all cells known for this way of pruning."""
    return _curves.get(curve_key(model, data, request))


def is_kept(model: str, data: str, request: Request) -> bool:
    """Whether an earlier run of the program measured some of this sweep, so that it goes on from there."""
    if not SETTINGS.workers:  # without worker processes nothing is kept
        return False
    dataset = resources.dataset(data, model)
    examples = dataset.validation.take(request.samples)
    recipe = Recipe(resources.model(model), examples, dataset.calibration, request)
    return Store().count(document_of(recipe)) > 0


def _keep(key: Hashable, about: Sweep, cells: tuple[Cell, ...]) -> None:
    """Add cells to what is known; one that says less never replaces one that says more. `about` says what was swept."""
    with _lock:
        known = _curves.pop(key, about)
        old = {(cell.layer, cell.sparsity): cell for cell in known.cells}
        new = {(cell.layer, cell.sparsity): cell for cell in cells if cell.state != "failed"}
        failed = {(cell.layer, cell.sparsity): cell for cell in (*known.failed, *cells) if cell.state == "failed"}
        better = {at: cell for at, cell in new.items() if at not in old or old[at].worth <= cell.worth}
        newest = about if about.n_samples >= known.n_samples else known
        left = tuple(cell for at, cell in failed.items() if at not in new)
        _curves[key] = replace(newest, cells=tuple((old | better).values()), failed=left)
        while len(_curves) > CURVES_KEPT:
            _curves.pop(next(iter(_curves)))


def last_sweep(model: str, data: str | None) -> Job | None:
    """Return the newest sweep of this model and data, live or finished."""
    wanted = ("sweep", model, data)
    return jobs.newest_of(lambda key: isinstance(key, tuple) and key[:3] == wanted)


def start_latency(model: str, data: str | None, plan: Plan) -> Job:
    """Measure dense against pruned, alone: nothing of ours runs beside it."""

    def work(job: Job) -> Timed:
        found: Timed = job.run(latency.run, resources.subject(model, data), plan, LATENCY_SECONDS)
        return found

    key = _latency_key(model, data, plan)
    return jobs.start(key, f"Latency of {model}", work, lane=jobs.ALONE, session=state.session())


def latency_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest measurement of this plan, live or finished."""
    return jobs.newest(_latency_key(model, data, plan))


def _latency_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    wishes = sorted((n, w.model_dump_json(exclude={"locked"})) for n, w in plan.layers.items() if w.sparsity > 0)
    return ("latency", model, data, plan.scope, plan.channel_multiple, plan.through_norms, plan.heads, tuple(wishes))
