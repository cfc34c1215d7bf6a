"""The sweep: each layer alone at each level, by forking the graph. Streams cells that narrow; stops at any time.

Examples come in a fixed random order. The first block is small, so that the whole heatmap is there early; then blocks
as large as the memory for kept activations allows. Within a block all chunks walk the graph together, layer by layer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning_core.data import EvalData, check_fits
from pruning_core.errors import DataError, PlanError, PruningError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking, refuses, why_not
from pruning_core.sensitivity.cells import Cell, Sweep, Tally
from pruning_core.sensitivity.replay import Replay

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PREVIEW = 64  # examples of the first block
CHUNK = 64  # examples that walk the graph at a time
KEPT_BYTES = 256 << 20  # activations kept for one block


@dataclass(frozen=True)
class Request:
    """What to sweep. `levels` are sparsities; a granularity with steps of its own (2:4) has only those."""

    granularity: str = "fine_grained"
    criterion: str = "l1"
    levels: tuple[float, ...] = DEFAULT_LEVELS
    samples: int | None = None
    layers: tuple[str, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict)

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


@dataclass(frozen=True)
class _Job:
    name: str
    wishes: tuple[LayerPlan, ...]


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
    ranking = ranking or Ranking(model, calibration or data)
    started = perf_counter()
    jobs, skipped = _plan_jobs(model, request, ranking)
    examples = data.take(request.samples)
    check_fits(examples, model.graph.input_shapes[0], model.graph.output_shape[-1])
    engine = _Engine(model, examples, ranking, replay or Replay(model.graph), cancelled)
    cells: dict[tuple[str, float], Cell] = {}
    for cell, share in engine.run(jobs):
        cells[cell.layer, cell.sparsity] = cell
        done = sum(c.done for c in cells.values())
        total = sum(len(job.wishes) for job in jobs)
        on_progress(Progress(cell, share, perf_counter() - started, done, total))
    dense = engine.dense
    order = {layer.name: i for i, layer in enumerate(model.graph.layers)}
    return Sweep(
        model=model.name,
        data=data.name,
        n_samples=len(examples),
        dense_accuracy=dense.correct / dense.n if dense.labelled and dense.n else None,
        dense_loss=dense.loss / dense.n if dense.labelled and dense.n else None,
        granularity=request.granularity,
        criterion=request.criterion,
        settings=dict(request.settings),
        exact=all(cell.done for cell in cells.values()),
        cells=tuple(sorted(cells.values(), key=lambda cell: (order[cell.layer], cell.sparsity))),
        seconds=perf_counter() - started,
        skipped=skipped,
    )


def _plan_jobs(model: Model, request: Request, ranking: Ranking) -> tuple[list[_Job], dict[str, str]]:
    names = request.layers if request.layers is not None else tuple(layer.name for layer in model.graph.layers)
    for level in request.levels:
        if not 0 < level < 1:
            raise PlanError(f"level {level:g} is outside 0 to 1")
    jobs, refused = [], dict[str, PruningError]()
    for name in names:
        try:
            jobs.append(_Job(name, _wishes(request, ranking, name)))
        except PruningError as error:
            refused[name] = error
    if not jobs:
        raise next(iter(refused.values()), PlanError("no layer was chosen; leave the layers out to sweep all"))
    return jobs, {name: str(error) for name, error in refused.items()}


def _wishes(request: Request, ranking: Ranking, name: str) -> tuple[LayerPlan, ...]:
    """Return the cells to measure of layer `name`; levels that would empty it are left out, unless all would."""
    if error := why_not(ranking, name, request.wish(0.0)):
        raise error
    steps = ranking.layout(name, request.wish(0.0)).steps
    levels = request.levels if steps is None else steps[1:]
    refusals = {level: refuses(ranking, name, request.wish(level)) for level in sorted(set(levels))}
    wishes = tuple(request.wish(level) for level, why in refusals.items() if why is None)
    if not wishes:
        raise PlanError(next(iter(refusals.values())) or "no level fits")
    return wishes


class _Engine:
    """Walks blocks of examples through the graph; yields each cell when its block is in."""

    def __init__(
        self, model: Model, data: EvalData, ranking: Ranking, replay: Replay, cancelled: Callable[[], bool]
    ) -> None:
        self.data, self.ranking, self.replay, self.cancelled = data, ranking, replay, cancelled
        generator = torch.Generator().manual_seed(0)
        self.order = torch.randperm(len(data), generator=generator).numpy()
        self.dense = Tally()
        self._tallies: dict[tuple[str, float], Tally] = {}

    def run(self, jobs: list[_Job]) -> Iterator[tuple[Cell, float]]:
        """Yield (cell, share of the work done)."""
        jobs = sorted(jobs, key=lambda job: self.replay.positions[job.name])
        costs = {job.name: max(1, self.replay.fork_macs[job.name]) for job in jobs}
        total = len(self.data) * sum(costs[job.name] * len(job.wishes) for job in jobs)
        spent, start, size = 0, 0, min(PREVIEW, len(self.data))
        with torch.inference_mode():
            while start < len(self.data):
                block = _Block(self.replay, self.data, self.order[start : start + size])
                self.dense += block.dense
                for job in jobs:
                    block.advance(job.name)
                    for wish in job.wishes:
                        if self.cancelled():
                            return
                        spent += costs[job.name] * block.n
                        yield self._measure(block, job.name, wish), spent / total
                start += size
                size = max(CHUNK, int(KEPT_BYTES / max(1, block.peak_bytes / block.n)) // CHUNK * CHUNK)

    def _measure(self, block: "_Block", name: str, wish: LayerPlan) -> Cell:
        mask = self.ranking.mask(name, wish)
        key = (name, wish.sparsity)
        self._tallies[key] = self._tallies.get(key, Tally()) + block.fork(name, self.replay.weight(name, mask))
        kept = self.ranking.n_kept_weights(name, wish)
        tally = self._tallies[key]
        return Cell(name, wish.sparsity, (mask.numel() - kept) / mask.numel(), tally, tally.n == len(self.data))


class _Block:
    """Some examples, cut into chunks that walk the graph together."""

    def __init__(self, replay: Replay, data: EvalData, indices: Any) -> None:
        self.replay = replay
        self.n = len(indices)
        parts = [indices[i : i + CHUNK] for i in range(0, self.n, CHUNK)]
        self.targets = [None if data.targets is None else data.labels(part) for part in parts]
        self.frontiers = [replay.start(data.batch(part)) for part in parts]
        self.logits = [replay.outputs(frontier) for frontier in self.frontiers]
        self.dense = sum((tally_of(o, o, t) for o, t in zip(self.logits, self.targets, strict=True)), Tally())
        self.peak_bytes = 0

    def advance(self, name: str) -> None:
        """Walk all chunks on to layer `name`."""
        for frontier in self.frontiers:
            self.replay.advance(frontier, self.replay.positions[name])
        self.peak_bytes = max(self.peak_bytes, sum(frontier.n_bytes for frontier in self.frontiers))

    def fork(self, name: str, weight: Tensor) -> Tally:
        """Return the tally of all chunks with another weight in layer `name`."""
        chunks = zip(self.frontiers, self.logits, self.targets, strict=True)
        return sum((tally_of(self.replay.fork(f, name, weight), dense, t) for f, dense, t in chunks), Tally())


def tally_of(logits: Tensor, dense: Tensor, targets: Tensor | None) -> Tally:
    """Count one chunk: outputs (batch, classes) of the pruned and of the dense model, targets (batch,) or None."""
    if not torch.isfinite(logits).all():
        raise DataError("the model's output holds NaN or infinite values on this data")
    answers, dense_answers = logits.argmax(-1), dense.argmax(-1)
    log_p, log_q = F.log_softmax(dense.float(), -1), F.log_softmax(logits.float(), -1)
    tally = Tally(
        n=len(logits),
        agreeing=int((answers == dense_answers).sum()),
        kl=float((log_p.exp() * (log_p - log_q)).sum()),
    )
    if targets is None:
        return tally
    right, dense_right = answers == targets, dense_answers == targets
    return replace(
        tally,
        labelled=True,
        correct=int(right.sum()),
        gained=int((right & ~dense_right).sum()),
        lost=int((dense_right & ~right).sum()),
        loss=float(F.nll_loss(log_q, targets, reduction="sum")),
    )
