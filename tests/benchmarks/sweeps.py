"""Sweeps against the naive loop at its best: exact and anytime, one thread, in one process, in turns.

A third of the naive cells is measured before the exact sweep, a third between it and the anytime sweep, and a third
after, so that a drift of the machine falls on all. Where the naive loop would take long, a random part of its cells is
measured and scaled (each cell costs it the same); of the larger networks only some layers are swept, by all sides.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pruning_core.sensitivity import DEFAULT_LEVELS, Cell
from pruning_core.sensitivity.correlation import spearman
from pruning_core.sensitivity.estimates import kl_of, rise_of, tolerance_of
from tests.benchmarks.common import Stopwatch, parser, progress, run
from tests.benchmarks.limit import limit
from tests.benchmarks.naive import Naive
from tests.benchmarks.subjects import Subject, names, subject
from tests.benchmarks.timed import Key, Timed, is_the_same_mask, same_answers

LEVEL = 0.7  # at which layers are ranked


def compare(subject: Subject, naive_seconds: float, peak: float) -> dict[str, Any]:
    """Run all in turns and return the figures of one subject."""
    naive = Naive(subject)
    naive.run(naive_seconds / 3)
    exact = Timed(subject, exact=True)
    naive.run(naive_seconds / 3)
    anytime = Timed(subject, exact=False)
    naive.run(naive_seconds / 3)
    n, layers = len(subject.data), subject.model.graph.layers
    return {
        "weights": subject.weights,
        "n": n,
        "layers": len(layers),
        "layers_swept": len(subject.layers),
        "cells": len(exact.cells),
        "dense_accuracy": exact.sweep.dense_accuracy,
        "naive": {
            "cpu_s": naive.cpu_s,
            "wall_s": naive.wall_s,
            "batch": naive.batch,
            "cells_measured": len(naive.answers),
            "share_of_limit": 2 * subject.model.graph.macs * n * naive.n_cells / naive.cpu_s / peak,
        },
        "exact": exact_figures(subject, naive, exact, peak),
        "anytime": anytime_figures(naive, exact, anytime),
        "preview": preview_figures(subject, naive, exact, anytime),
    }


def ratios(naive: Naive, watch: Stopwatch) -> dict[str, float]:
    """Return the seconds of a sweep and how many times longer the naive loop takes."""
    cpu, wall = sum(watch.cpu), sum(watch.wall)
    return {"cpu_s": cpu, "wall_s": wall, "ratio_cpu": naive.cpu_s / cpu, "ratio_wall": naive.wall_s / wall}


def exact_figures(subject: Subject, naive: Naive, exact: Timed, peak: float) -> dict[str, Any]:
    """Return time, equality of the answers, and the share of the machine's limit."""
    macs = exact.worker.forks.macs
    needed = len(subject.data) * (subject.model.graph.macs + sum(macs(layer) for layer, _ in exact.cells))
    checked = {key: answers for key, answers in naive.answers.items() if is_the_same_mask(subject, exact.cells[key])}
    targets = subject.data.labels()
    same = sum(exact.cells[key].tally.correct == int((found == targets).sum()) for key, found in checked.items())
    return {
        **ratios(naive, exact.watch),
        "share_of_limit": 2 * needed / sum(exact.watch.cpu) / peak,
        "bound_by_operations": subject.model.graph.macs * len(subject.data) * len(exact.cells) / needed,
        "same_answers": same_answers(subject, exact.worker),
        "naive_cells_with_the_same_mask": len(checked),
        "of_them_with_the_same_count": same,
    }


def anytime_figures(naive: Naive, exact: Timed, anytime: Timed) -> dict[str, Any]:
    """Return time, what it took, and how far the cells lie from the exact ones."""
    cells = anytime.cells
    errors = {key: abs(cell.drop - exact.cells[key].drop) for key, cell in cells.items()}
    inside = [error <= tolerance_of(exact.cells[key].drop) for key, error in errors.items()]
    worst = max(errors, key=lambda key: errors[key])
    return {
        **ratios(naive, anytime.watch),
        "inside_tolerance": sum(inside) / len(inside),
        "cells_outside": len(inside) - sum(inside),
        "largest_error": {"error": errors[worst], "drop": exact.cells[worst].drop, "state": cells[worst].state},
        "examples_used": sum(cell.tally.n for cell in cells.values()) / len(cells) / exact.sweep.n_samples,
        "states": {state: _share(cells, state) for state in ("settled", "bracketed", "exact")},
    }


def _share(cells: Mapping[Key, Cell], state: str) -> float:
    return sum(cell.state == state for cell in cells.values()) / len(cells)


def preview_figures(subject: Subject, naive: Naive, exact: Timed, anytime: Timed) -> dict[str, Any]:
    """Return what the first map costs, and whether it ranks layers as the exact rise of the loss does."""
    layers = [layer for layer in subject.names if (layer, LEVEL) in exact.cells]
    guesses = [anytime.preview[layer, LEVEL] for layer in layers]
    truths = [exact.cells[layer, LEVEL] for layer in layers]
    found = spearman([kl_of(*_sample(c)).value for c in guesses], [rise_of(*_sample(c)).value for c in truths])
    cpu = (exact.preview_cpu_s + anytime.preview_cpu_s) / 2
    return {
        "cpu_s": cpu,
        "share_of_naive": cpu / naive.cpu_s,
        "examples": guesses[0].tally.n,
        "layers": len(layers),
        "spearman_of_layers": found.value,
        "spearman_interval": found.interval,
    }


def _sample(cell: Cell) -> tuple[Sequence[Any], Sequence[int]]:
    return cell.strata, cell.all_sizes


def main() -> None:
    """Print the figures of all subjects."""
    options = parser(__doc__, names())
    options.add_argument("--n", type=int, default=2000, help="examples")
    options.add_argument("--layers", type=int, help="layers swept of each (default: all of the samples; 0: all)")
    options.add_argument("--naive-seconds", type=float, default=12, help="for the naive loop, for each model")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        rates, found = limit(), {}
        for name in given.samples:
            progress(name)
            found[name] = compare(subject(name, given.n, given.layers), given.naive_seconds, max(rates.values()))
        return {"levels": DEFAULT_LEVELS, "limit": rates, "subjects": found}

    with torch.no_grad():
        run(measure)


if __name__ == "__main__":
    main()
