"""A fit as a task: choose on the curves that are known, then measure what was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from explorer.figures import words
from explorer.loading import Subject
from explorer.tasks.task import Task
from pruning_core import Reference
from pruning_core.allocation import ALLOCATIONS, COSTS, Allocation, Budget, Comparison, Problem, compare_allocations
from pruning_core.allocation.budget import TRIES, within
from pruning_core.allocation.text import DROP
from pruning_core.apply import plan_for
from pruning_core.metrics import Measurement
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity import Sweep
from pruning_core.sensitivity.limits import merged


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

    @property
    def is_timed(self) -> bool:
        """Whether layers are timed for it."""
        return isinstance(self.goal, Budget) and "latency" in (
            self.goal.metric,
            self.least if self.goal.metric == DROP else "",
        )


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


def run(task: Task, subject: Subject, asked: Asked, curves: Sequence[Sweep]) -> Fitted | tuple[Comparison, ...]:
    """Fit on `curves`; each step is noted as a `Step`."""
    given = problem(task.reference(subject), asked.terms, curves)
    watched = replace(given, cancelled=task.cancelled, on_plan=_Plans(task, asked).note)
    return _fitted(task, watched, asked) if asked.kind == "limit" else _compared(task, watched, asked)


def problem(reference: Reference, terms: Terms, curves: Sequence[Sweep]) -> Problem:
    """Return what an allocation is told."""
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


class _Plans:
    """Counts the plans that were measured as a whole."""

    def __init__(self, task: Task, asked: Asked) -> None:
        self.task, self.asked, self.n, self.started = task, asked, 0, perf_counter()

    def note(self, drop: Measurement) -> None:
        self.n += 1
        if self.asked.kind == "limit":
            left = (perf_counter() - self.started) / self.n * max(0, TRIES - self.n)
            text = f"Measured {words.plural(self.n, 'plan')} together, the last one {words.points(-drop.value)}"
            self.task.note(Step(text, min(1.0, self.n / TRIES), left))


def _fitted(task: Task, given: Problem, asked: Asked) -> Fitted:
    assert isinstance(asked.goal, Budget)
    text = (
        "Timing each layer at its smaller shapes, which can take minutes"
        if asked.is_timed
        else "Choosing among measured cells"
    )
    task.note(Step(text))
    found = within(given, asked.goal, asked.least)
    shown = ("size", "macs", "params", *(["latency"] if asked.is_timed else []))
    dense = plan_for(given.model)
    return Fitted(found, {name: (COSTS[name](given, dense), COSTS[name](given, found.plan)) for name in shown})


def _compared(task: Task, given: Problem, asked: Asked) -> tuple[Comparison, ...]:
    goal = {"budget": asked.goal} if isinstance(asked.goal, Budget) else {"sparsity": asked.goal}
    started, rows = perf_counter(), list[Comparison]()
    for i, member in enumerate(ALLOCATIONS.values()):
        left = (perf_counter() - started) / i * (len(ALLOCATIONS) - i) if i else None
        task.note(Step(f"Measuring {member.label}, {i + 1} of {len(ALLOCATIONS)}", i / len(ALLOCATIONS), left))
        rows += compare_allocations(given, [member.name], **goal)
    return tuple(rows)
