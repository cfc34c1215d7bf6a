"""The naive loop at its best: the real module, data in memory, evaluation mode, one mask by kthvalue for each cell,
weights restored, no copy of the model, and the batch size that is fastest for it.

Every cell costs it the same, one pass of the whole model; where all would take too long, a random part is timed.
"""

import random

import torch
from torch import Tensor, nn

from pruning_core.layers import tensor_at
from pruning_core.sensitivity import DEFAULT_LEVELS
from tests.benchmarks.common import Stopwatch
from tests.benchmarks.subjects import Subject

BATCHES = (32, 64, 128, 256)


def kthvalue_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Keep |w| above the k-th smallest; all weights equal to it go, however many they are."""
    magnitude = weight.abs()
    removed = round(sparsity * weight.numel())
    return magnitude > magnitude.flatten().kthvalue(removed).values if removed else torch.ones_like(weight)


class Naive:
    """Measures cells of a subject one after the other, in random order."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.watch = subject, Stopwatch()
        inputs = subject.data.batch(slice(None))
        self.batch = best_batch(subject.model.module, inputs)
        self.batches = inputs.split(self.batch)
        cells = [(layer, level) for layer in subject.layers for level in DEFAULT_LEVELS]
        self.n_cells = len(cells)
        self.left = random.Random(0).sample(cells, len(cells))
        self.answers: dict[tuple[str, float], Tensor] = {}  # argmax (n,) of each cell measured

    def run(self, seconds: float) -> None:
        """Measure at least one more cell, and more until `seconds` of processor time are spent."""
        until = sum(self.watch.cpu) + seconds
        while self.left:
            layer, level = self.left.pop()
            weight = tensor_at(self.subject.model.module, layer.parameter)
            with self.watch.time():
                self.answers[layer.name, level] = self._measure(weight, level)
            if sum(self.watch.cpu) >= until:
                return

    def _measure(self, weight: Tensor, level: float) -> Tensor:
        before = weight.detach().clone()
        weight.mul_(kthvalue_mask(weight, level))
        answers = torch.cat([self.subject.model.module(batch).argmax(1) for batch in self.batches])
        weight.copy_(before)
        return answers

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all cells, from those measured."""
        return sum(self.watch.cpu) / len(self.watch.cpu) * self.n_cells

    @property
    def wall_s(self) -> float:
        """Wall seconds of all cells, from those measured."""
        return sum(self.watch.wall) / len(self.watch.wall) * self.n_cells


def best_batch(module: nn.Module, inputs: Tensor) -> int:
    """Return the batch size at which the whole model is fastest."""
    module(inputs[: min(BATCHES)])  # the first call loads what all use
    seconds = {}
    for size in BATCHES:
        watch = Stopwatch()
        with watch.time():
            for batch in inputs[: max(BATCHES)].split(size):
                module(batch)
        seconds[size] = sum(watch.cpu)
    return min(seconds, key=lambda size: seconds[size])
