"""The sweep: each layer alone at each level, by forking the graph. Streams cells that narrow; stops at any time.

Examples come in a fixed random order. The first block is small, so that the whole heatmap is there early; then blocks
as large as the memory for kept activations allows. Within a block all chunks walk the graph together, layer by layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from pruning_core.criteria import split_settings
from pruning_core.data import EvalData, check_fits
from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.plan import Heads, LayerPlan, options_of
from pruning_core.ranking import Ranking, cannot_go, why_not
from pruning_core.sensitivity.answers import tally_of
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.engine import Engine, Job
from pruning_core.sensitivity.replay import Replay

__all__ = ["DEFAULT_LEVELS", "Progress", "Request", "cells_of", "sweep", "tally_of"]

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Request:
    """What to sweep. `levels` are sparsities; a granularity with steps of its own (2:4) has only those."""

    granularity: str = "fine_grained"
    criterion: str = "l1"
    levels: tuple[float, ...] = DEFAULT_LEVELS
    samples: int | None = None
    layers: tuple[str, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    channel_multiple: int = 1  # the options of a plan
    through_norms: bool = False
    heads: Heads = "head"

    def wish(self, sparsity: float) -> LayerPlan:
        """Return the wish of one cell."""
        return LayerPlan(
            sparsity=sparsity, granularity=self.granularity, criterion=self.criterion, settings=self.settings
        )


@dataclass(frozen=True)
class Progress:
    """One step of a sweep: the cell that was refined, and how far the whole is (shares of the work, not of cells)."""

    cell: Cell
    share: float
    seconds: float
    cells_done: int
    cells_total: int

    @property
    def seconds_left(self) -> float:
        """Time left at the pace so far."""
        return self.seconds * (1 - self.share) / self.share


def sweep(
    model: Model,
    data: EvalData,
    request: Request = Request(),
    *,
    ranking: Ranking | None = None,
    replay: Replay | None = None,
    calibration: EvalData | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Sweep:
    """Run the sweep and return it; stopped early by `cancelled`, it holds the cells measured so far."""
    ranking = (ranking or Ranking(model, calibration or data)).under(request)
    started = perf_counter()
    jobs, skipped = _plan_jobs(model, request, ranking)
    examples = data.take(request.samples)
    check_fits(examples, model.graph)
    if replay is None or replay.coupling is not ranking.norms:
        replay = Replay(model.graph, ranking.norms)
    engine = Engine(model, examples, ranking, replay, cancelled)
    total, done = sum(len(job.wishes) for job in jobs), 0
    cells: dict[tuple[str, float], Cell] = {}
    for cell, share in engine.run(jobs):
        cells[cell.layer, cell.sparsity] = cell
        done += cell.done
        on_progress(Progress(cell, share, perf_counter() - started, done, total))
    dense = engine.dense
    order = {layer.name: i for i, layer in enumerate(model.graph.layers)}
    return Sweep(
        model=model.name,
        data=data.name,
        n_samples=len(examples),
        dense_accuracy=dense.correct / dense.n if dense.labelled else None,
        dense_loss=dense.loss / dense.n if dense.labelled else None,
        granularity=request.granularity,
        criterion=request.criterion,
        settings=dict(request.settings),
        exact=done == total,
        cells=tuple(sorted(cells.values(), key=lambda cell: (order[cell.layer], cell.sparsity))),
        seconds=perf_counter() - started,
        skipped=skipped,
        options={name: value for name, value in options_of(request).items() if value != getattr(Request, name)},
    )


def cells_of(model: Model, request: Request, ranking: Ranking) -> dict[str, tuple[float, ...]]:
    """Return the sparsities that a sweep measures of each layer; one of several coupled layers stands for all."""
    jobs, _ = _plan_jobs(model, request, ranking.under(request))
    return {job.name: tuple(wish.sparsity for wish in job.wishes) for job in jobs}


def _plan_jobs(model: Model, request: Request, ranking: Ranking) -> tuple[list[Job], dict[str, str]]:
    _check(request)
    names = [layer.name for layer in model.graph.layers] if request.layers is None else request.layers
    jobs, skipped, coupled = [], {}, dict[str, str]()
    for name in dict.fromkeys(names):
        model.graph.layer(name)  # an unknown name is refused at once
        if name in coupled:
            skipped[name] = f"{name}: its channels are coupled with those of '{coupled[name]}', which stands for both"
            continue
        wishes, why = _wishes(name, request, ranking)
        if wishes and (units := ranking.units(name, wishes[0])):
            coupled |= dict.fromkeys(units.members, name)
        if wishes:
            jobs.append(Job(name, wishes))
        else:
            skipped[name] = why
    if not jobs:
        raise PlanError(next(iter(skipped.values()), "no layer was chosen; leave the layers out to sweep all"))
    return jobs, skipped


def _check(request: Request) -> None:
    split_settings(request.granularity, request.criterion, request.settings)
    for level in request.levels:
        if not 0 < level < 1:
            raise PlanError(f"level {level:g} is outside 0 to 1")


def _wishes(name: str, request: Request, ranking: Ranking) -> tuple[tuple[LayerPlan, ...], str]:
    """Return what to measure of one layer, and why nothing fits if so."""
    if error := why_not(ranking, name, request.wish(0.0)):  # its scores included: bn_scale needs a batch norm
        return (), str(error)
    steps = ranking.layout(name, request.wish(0.0)).steps
    wishes = [request.wish(level) for level in sorted(set(request.levels if steps is None else steps[1:]))]
    refusals = [cannot_go(ranking, name, wish) for wish in wishes]
    fitting = tuple(wish for wish, refusal in zip(wishes, refusals, strict=True) if refusal is None)
    return fitting, next((refusal for refusal in refusals if refusal), "no level was chosen")
