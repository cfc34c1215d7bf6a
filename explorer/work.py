"""The jobs of this app: sweeps and latency; and the curves that sweeps have found so far.

Latency runs in the same queue as sweeps, so it is never measured beside one.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from threading import RLock

from torch import nn

from explorer import jobs, resources
from explorer.jobs import Job
from pruning_core import Request, prune, sweep
from pruning_core.latency import Latency
from pruning_core.measure import latency_of
from pruning_core.plan import Plan
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.sweep import Progress

RUNTIME = "onnxruntime"
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

        return sweep_and_keep(model, data, request, job.cancelled, note)

    return jobs.start(("sweep", model, data, repr(request)), f"Sweep of {model}", work)


def sweep_and_keep(
    model: str, data: str, request: Request, cancelled: Callable[[], bool], note: Callable[[Progress], None]
) -> Sweep:
    """Sweep here and now; cells appear in `curves` as they come."""
    reference = resources.reference(model, data)
    examples = reference.dataset.validation  # type: ignore[union-attr]
    n = min(request.samples or len(examples), len(examples))
    key, ways = curve_key(model, data, request), (request.granularity, request.criterion, request.settings)
    about = Sweep(model, data, n, None, None, *ways, False, (), 0, {})

    def keep(progress: Progress) -> None:
        _keep(key, about, (progress.cell,))
        note(progress)

    ranking = reference.ranking.under(request)
    replay = reference.replay_under(ranking.norms)
    result = sweep(
        reference.model, examples, request, ranking=ranking, replay=replay, cancelled=cancelled, on_progress=keep
    )
    _keep(key, result, result.cells)
    return result


def curve_key(model: str, data: str | None, request: Request) -> Hashable:
    """Return what a curve depends on, the samples left out: more of them only narrow it."""
    ways = (request.granularity, request.criterion, tuple(sorted(request.settings.items())))
    return (model, data, *ways, request.channel_multiple, request.through_norms, request.heads)


def curves(model: str, data: str | None, request: Request) -> Sweep | None:
    """Return all cells known for this way of pruning."""
    return _curves.get(curve_key(model, data, request))


def _keep(key: Hashable, about: Sweep, cells: tuple[Cell, ...]) -> None:
    """Add cells to what is known; one of fewer examples never replaces one of more. `about` says what was swept."""
    with _lock:
        known = _curves.pop(key, about)
        old = {(cell.layer, cell.sparsity): cell for cell in known.cells}
        new = {(cell.layer, cell.sparsity): cell for cell in cells}
        better = {at: cell for at, cell in new.items() if at not in old or old[at].tally.n <= cell.tally.n}
        newest = about if about.n_samples >= known.n_samples else known
        _curves[key] = replace(newest, cells=tuple((old | better).values()))
        while len(_curves) > CURVES_KEPT:
            _curves.pop(next(iter(_curves)))


def last_sweep(model: str, data: str | None) -> Job | None:
    """Return the newest sweep of this model and data, live or finished."""
    wanted = ("sweep", model, data)
    return jobs.newest_of(lambda key: isinstance(key, tuple) and key[:3] == wanted)


@dataclass(frozen=True)
class Timed:
    """Dense against the smallest form of the pruned model; against the masked one too where that is another."""

    smallest: Latency
    masked: Latency | None


def start_latency(model: str, data: str | None, plan: Plan) -> Job:
    """Measure dense against pruned, alone: the queue lets nothing run beside it."""

    def work(job: Job) -> Timed:
        reference = resources.reference(model, data)
        loaded = reference.model
        pruned, example = prune(loaded, plan, ranking=reference.ranking), loaded.example_inputs[0][:1]

        def against(form: nn.Module, is_slimmed: bool) -> Latency:
            return latency_of(loaded, form, example, RUNTIME, LATENCY_SECONDS, job.cancelled, is_slimmed)

        if pruned.slimmed is None:
            return Timed(against(pruned.masked, False), None)
        return Timed(against(pruned.slimmed.module, True), against(pruned.masked, False))

    return jobs.start(_latency_key(model, data, plan), f"Latency of {model}", work)


def latency_job(model: str | None, data: str | None, plan: Plan) -> Job | None:
    """Return the newest measurement of this plan, live or finished."""
    return jobs.newest(_latency_key(model, data, plan))


def _latency_key(model: str | None, data: str | None, plan: Plan) -> Hashable:
    wishes = sorted((n, w.model_dump_json(exclude={"locked"})) for n, w in plan.layers.items() if w.sparsity > 0)
    return ("latency", model, data, plan.scope, plan.channel_multiple, plan.through_norms, plan.heads, tuple(wishes))
