"""The exact fork sweep against the naive sweep at its best: seconds, ratio, and whether the answers are the same.

Naive: the real module, data in memory, evaluation mode, one mask by kthvalue for each cell, weights restored, no copy
of the model, and the batch size that is fastest for it. Half of its layers run before the fork sweep and half after,
so that a drift of the machine falls on both.
"""

from typing import Any

import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.data import EvalData
from pruning_core.layers import Layer, tensor_at
from pruning_core.model import Model
from pruning_core.sensitivity import DEFAULT_LEVELS, Cell, Replay
from tests.benchmarks.common import Stopwatch, load, parser, run

BATCHES = (32, 64, 128, 256)
CHECKED = 256  # examples whose every answer is compared
Answers = dict[tuple[str, float], Tensor]  # argmax (n,) of each cell


def kthvalue_mask(weight: Tensor, sparsity: float) -> Tensor:
    """Keep |w| above the k-th smallest."""
    magnitude = weight.abs()
    removed = round(sparsity * weight.numel())
    return magnitude > magnitude.flatten().kthvalue(removed).values if removed else torch.ones_like(weight)


def naive_layer(module: nn.Module, layer: Layer, batches: list[Tensor]) -> Answers:
    """Measure one layer at all levels with the whole model."""
    weight, answers = tensor_at(module, layer.parameter), {}
    before = weight.detach().clone()
    for level in DEFAULT_LEVELS:
        weight.mul_(kthvalue_mask(weight, level))
        answers[layer.name, level] = torch.cat([module(batch).argmax(1) for batch in batches])
        weight.copy_(before)
    return answers


def best_batch(module: nn.Module, inputs: Tensor) -> int:
    """Return the batch size at which the whole model is fastest."""
    seconds = {}
    for size in BATCHES:
        watch = Stopwatch()
        for _ in range(3):
            with watch.time():
                for batch in inputs[:256].split(size):
                    module(batch)
        seconds[size] = min(watch.cpu)
    return min(seconds, key=lambda size: seconds[size])


def is_the_same_mask(model: Model, cell: Cell) -> bool:
    """Whether kthvalue keeps as many weights as the rank mask; it drops all weights equal to the threshold."""
    mask = kthvalue_mask(model.graph.weight(cell.layer), cell.sparsity)
    return int((~mask).sum()) == round(cell.measured_sparsity * mask.numel())


def same_answers(model: Model, inputs: Tensor, naive: Answers) -> float:
    """Return the share of (example, cell) pairs that the replay answers as the naive loop does."""
    replay, n_same, n = Replay(model.graph), 0, 0
    for layer in model.graph.layers:
        frontier = replay.advance(replay.start(inputs), replay.positions[layer.name])
        weight = model.graph.weight(layer.name)
        for level in DEFAULT_LEVELS:
            masked = replay.weight(layer.name, kthvalue_mask(weight, level))
            same = replay.fork(frontier, layer.name, masked).argmax(1) == naive[layer.name, level][: len(inputs)]
            n_same, n = n_same + int(same.sum()), n + len(inputs)
    return n_same / n


def compare(model: Model, data: EvalData) -> dict[str, Any]:
    """Run both on `data` and return the figures of one sample."""
    inputs, module, layers = data.batch(slice(None)), model.module, model.graph.layers
    naive, fork, answers = Stopwatch(), Stopwatch(), {}
    batch = best_batch(module, inputs)
    for part in (layers[: len(layers) // 2], layers[len(layers) // 2 :]):
        with naive.time():
            for layer in part:
                answers |= naive_layer(module, layer, list(inputs.split(batch)))
        if not fork.wall:
            with fork.time():
                result = pc.sweep(model, data)
    alike = [cell for cell in result.cells if is_the_same_mask(model, cell)]
    targets = data.labels()
    same = sum(c.tally.correct == int((answers[c.layer, c.sparsity] == targets).sum()) for c in alike)
    naive_s, fork_s = naive.total, fork.total
    return {
        "n": len(data),
        "cells": len(result.cells),
        "naive": naive_s | {"batch": batch},
        "fork": fork_s,
        "ratio_cpu": round(naive_s["cpu_s"] / fork_s["cpu_s"], 2),
        "ratio_wall": round(naive_s["wall_s"] / fork_s["wall_s"], 2),
        "same_answers": same_answers(model, inputs[:CHECKED], answers),
        "cells_with_the_same_mask": len(alike),
        "of_them_with_the_same_count": same,
    }


def main() -> None:
    """Print the figures of all samples."""
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=2000, help="examples")
    options.add_argument("--rounds", type=int, default=1)
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in given.samples:
            model, dataset = load(name)
            data = dataset.validation.take(given.n)
            found[name] = [compare(model, data) for _ in range(given.rounds)]
        return {"levels": DEFAULT_LEVELS, "samples": found}

    with torch.inference_mode():
        run(measure)


if __name__ == "__main__":
    main()
