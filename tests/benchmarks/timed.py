"""One sweep with a clock beside it, and whether its answers are those of the whole model."""

from contextlib import AbstractContextManager
from time import process_time

import torch

import pruning_core as pc
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity import DEFAULT_LEVELS, Cell, Progress, Request
from pruning_core.sensitivity.executors import in_process
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor
from pruning_core.sensitivity.worker import Worker
from tests.benchmarks.common import Stopwatch
from tests.benchmarks.naive import kthvalue_mask
from tests.benchmarks.subjects import Subject

CHECKED = 64  # examples whose every answer is compared, in all cells
Key = tuple[str, float]  # layer, sparsity


class Timed:
    """A sweep that was timed, its preview also by itself, with the cells as they stood then."""

    def __init__(self, subject: Subject, exact: bool) -> None:
        self.watch = Stopwatch()
        self.preview: dict[Key, Cell] = {}
        self.preview_cpu_s = 0.0
        request, started = Request(exact=exact, layers=subject.names), process_time()

        def keep(recipe: Recipe, worker: Worker) -> AbstractContextManager[Executor]:
            self.worker = worker  # with the evaluators that the sweep chooses
            return in_process(recipe, worker)

        def note(step: Progress) -> None:
            if step.cell.state == "preview":
                self.preview[step.cell.layer, step.cell.sparsity] = step.cell
                self.preview_cpu_s = process_time() - started

        with self.watch.time():
            self.sweep = pc.sweep(subject.model, subject.data, request, executor=keep, on_progress=note)
        self.cells = {(cell.layer, cell.sparsity): cell for cell in self.sweep.cells}


def is_the_same_mask(subject: Subject, cell: Cell) -> bool:
    """Whether kthvalue keeps as many weights as the rank mask; it drops all weights equal to the threshold."""
    mask = kthvalue_mask(subject.model.graph.weight(cell.layer), cell.sparsity)
    return int((~mask).sum()) == round(cell.measured_sparsity * mask.numel())


@torch.inference_mode()
def same_answers(subject: Subject, worker: Worker) -> float:
    """Return the share of (example, cell) pairs that a fork answers as the whole module with the same mask does."""
    inputs = subject.data.batch(slice(CHECKED))
    ranking, module, n_same, n = Ranking(subject.model), subject.model.module, 0, 0
    frontier = worker.replay.start(inputs)
    for layer in sorted(subject.layers, key=lambda layer: worker.forks.position(layer.name)):
        worker.replay.advance(frontier, worker.forks.position(layer.name))
        weight = dict(module.named_parameters())[layer.parameter]
        before = weight.detach().clone()
        for level in DEFAULT_LEVELS:
            weight.mul_(layer.stored(ranking.mask(layer.name, LayerPlan(sparsity=level))))
            same = worker.forks.fork(frontier, layer.name, level).argmax(1) == module(inputs).argmax(1)
            weight.copy_(before)
            n_same, n = n_same + int(same.sum()), n + len(inputs)
    return n_same / n
