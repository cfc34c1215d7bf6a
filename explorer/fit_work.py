"""Jobs of the dialog "Fit to budget": sweep what is not measured yet, then choose, then measure what was chosen."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from explorer import jobs, resources, state, work
from explorer.jobs import ALONE, INTERACTIVE, SWEEP, Job
from explorer.tasks import fit
from explorer.tasks.fit import Asked, Fitted, Step, Terms
from pruning_core import Request
from pruning_core.allocation import Comparison, Problem
from pruning_core.errors import Cancelled
from pruning_core.sensitivity import Progress, Sweep

__all__ = ["Asked", "Fitted", "Step", "Terms", "asked_of", "known", "newest", "problem", "start"]


@dataclass(frozen=True)
class _Key:
    """What makes two fits the same: everything asked, compared as text."""

    kind: str
    model: str
    data: str | None
    text: str
    asked: Asked = field(compare=False)


def start(model: str, data: str, asked: Asked, requests: tuple[Request, ...], missing: tuple[Request, ...]) -> Job:
    """Fit in the background; `requests` are the curves it reads, `missing` those to be measured before."""

    def work_of(job: Job) -> Fitted | tuple[Comparison, ...]:
        _sweep(job, model, data, missing)
        job.move_to(lane)
        found: Fitted | tuple[Comparison, ...] = job.run(
            fit.run, resources.subject(model, data), asked, _curves(model, data, requests)
        )
        return found

    lane = ALONE if asked.is_timed else INTERACTIVE
    first = SWEEP if missing else lane
    return jobs.start(_key(model, data, asked), f"Fit of {model}", work_of, lane=first, session=state.session())


def newest(kind: str, model: str | None, data: str | None) -> Job | None:
    """Return the newest fit of this kind, live or finished, whoever asked for it."""
    return jobs.newest_of(lambda key: isinstance(key, _Key) and (key.kind, key.model, key.data) == (kind, model, data))


def asked_of(job: Job) -> Asked:
    """Return what was asked of a fit."""
    assert isinstance(job.key, _Key)
    return job.key.asked


def _key(model: str, data: str | None, asked: Asked) -> Hashable:
    return _Key(asked.kind, model, data, repr(asked), asked)


def problem(model: str, data: str | None, terms: Terms, requests: tuple[Request, ...] = ()) -> Problem:
    """Return what an allocation is told, with the curves that are known of `requests`."""
    return fit.problem(resources.reference(model, data), terms, _curves(model, data, requests))


def _curves(model: str, data: str | None, requests: tuple[Request, ...]) -> list[Sweep]:
    return [found for request in requests if (found := known(model, data, request))]


def known(model: str, data: str | None, request: Request) -> Sweep | None:
    """Return the cells of the layers of a request that are known on enough examples."""
    found, names = work.curves(model, data, request), request.layers or ()
    if found is None:
        return None
    enough = [c for c in found.cells if c.layer in names and c.tally.n >= (request.samples or 0)]
    return replace(found, cells=tuple(enough))


def _sweep(job: Job, model: str, data: str, missing: tuple[Request, ...]) -> None:
    n = len(missing)
    for i, request in enumerate(missing):

        def note(progress: Progress, before: int = i) -> None:
            share = (before + progress.share) / n
            text = f"Measuring {progress.cell.layer} alone, {progress.cells_done} of {progress.cells_total} cells"
            job.progress = Step(text, share, progress.seconds_left if n == 1 else None)

        work.sweep_and_keep(job, model, data, request, note)
        if job.cancelled():
            raise Cancelled("the fit was stopped while layers were measured")
