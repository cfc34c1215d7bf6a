"""Jobs of the dialog "Fit to budget": sweep what is not measured yet, then choose, then measure what was chosen."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from time import perf_counter

from explorer import jobs, resources, work
from explorer.figures import words
from explorer.jobs import Job
from pruning_core import Request
from pruning_core.allocation import ALLOCATIONS, COSTS, Allocation, Budget, Comparison, Problem, compare_allocations
from pruning_core.allocation.budget import TRIES, within
from pruning_core.allocation.text import DROP
from pruning_core.apply import plan_for
from pruning_core.errors import Cancelled
from pruning_core.metrics import Measurement
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity import Progress, Sweep
from pruning_core.sensitivity.cells import merged


@dataclass(frozen=True)
class Terms:
    """What a fit may do: the ways and locks of a plan, what else stays, and limits of single layers."""

    plan: Plan
    held: tuple[str, ...] = ()
    minimum: tuple[tuple[str, float], ...] = ()
    maximum: tuple[tuple[str, float], ...] = ()
    least_gain: float = 0.0
    samples: int | None = None  # validation examples of each cell of the curves


@dataclass(frozen=True)
class Asked:
    """One fit: a limit with what is to be least, or a goal at which all allocations are compared."""

    kind: str  # limit or compare
    terms: Terms
    goal: Budget | float  # a float is an overall sparsity
    least: str = "size"


@dataclass(frozen=True)
class Step:
    """How far a fit is, in words; `share` is that of the present part, None where its end is not known."""

    text: str
    share: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Fitted:
    """The plan within a limit, and what it costs beside the dense model: (dense, fitted) by name of the cost."""

    allocation: Allocation
    costs: dict[str, tuple[int, int]]


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
        task = problem(model, data, asked.terms, requests)
        watched = replace(task, cancelled=job.cancelled, on_plan=_Plans(job).note)
        return _fitted(job, watched, asked) if asked.kind == "limit" else _compared(job, watched, asked)

    return jobs.start(_key(model, data, asked), f"Fit of {model}", work_of)


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
    reference = resources.reference(model, data)
    curves = [found for request in requests if (found := known(model, data, request))]
    return Problem(
        reference.model,
        reference.dataset,
        ways={name: wish for name, wish in terms.plan.layers.items() if not _is_plain(wish)},
        plan=terms.plan,
        overrides=frozenset(terms.held),
        minimum=dict(terms.minimum),
        maximum=dict(terms.maximum),
        least_gain=terms.least_gain,
        measured=merged(curves) if curves else None,
        ranked=reference.ranking,
    )


def _is_plain(wish: LayerPlan) -> bool:
    return wish.model_copy(update={"sparsity": 0.0, "locked": False}) == LayerPlan()


def known(model: str, data: str | None, request: Request) -> Sweep | None:
    """Return the cells of the layers of a request that have enough examples."""
    found, names = work.curves(model, data, request), request.layers or ()
    if found is None:
        return None
    enough = [cell for cell in found.cells if cell.layer in names and cell.tally.n >= (request.samples or 0)]
    return replace(found, cells=tuple(enough))


def _sweep(job: Job, model: str, data: str, missing: tuple[Request, ...]) -> None:
    n = len(missing)
    for i, request in enumerate(missing):

        def note(progress: Progress, before: int = i) -> None:
            share = (before + progress.share) / n
            text = f"Measuring {progress.cell.layer} alone, {progress.cells_done} of {progress.cells_total} cells"
            job.progress = Step(text, share, progress.seconds_left if n == 1 else None)

        work.sweep_and_keep(model, data, request, job.cancelled, note)
        if job.cancelled():
            raise Cancelled("the fit was stopped while layers were measured")


class _Plans:
    """Counts the plans that were measured as a whole."""

    def __init__(self, job: Job) -> None:
        self.job, self.n, self.started = job, 0, perf_counter()

    def note(self, drop: Measurement) -> None:
        self.n += 1
        if asked_of(self.job).kind == "limit":
            left = (perf_counter() - self.started) / self.n * max(0, TRIES - self.n)
            text = f"Measured {words.plural(self.n, 'plan')} together, the last one {words.points(-drop.value)}"
            self.job.progress = Step(text, min(1.0, self.n / TRIES), left)


def _fitted(job: Job, task: Problem, asked: Asked) -> Fitted:
    assert isinstance(asked.goal, Budget)
    is_latency = "latency" in (asked.goal.metric, asked.least if asked.goal.metric == DROP else "")
    job.progress = Step(
        "Timing each layer at its smaller shapes, which can take minutes"
        if is_latency
        else "Choosing among measured cells"
    )
    found = within(task, asked.goal, asked.least)
    shown = dict.fromkeys(["size", "macs", "params", *(["latency"] if is_latency else [])])
    dense = plan_for(task.model)
    return Fitted(found, {name: (COSTS[name](task, dense), COSTS[name](task, found.plan)) for name in shown})


def _compared(job: Job, task: Problem, asked: Asked) -> tuple[Comparison, ...]:
    goal = {"budget": asked.goal} if isinstance(asked.goal, Budget) else {"sparsity": asked.goal}
    started, rows = perf_counter(), list[Comparison]()
    for i, member in enumerate(ALLOCATIONS.values()):
        left = (perf_counter() - started) / i * (len(ALLOCATIONS) - i) if i else None
        job.progress = Step(f"Measuring {member.label}, {i + 1} of {len(ALLOCATIONS)}", i / len(ALLOCATIONS), left)
        rows += compare_allocations(task, [member.name], **goal)
    return tuple(rows)
