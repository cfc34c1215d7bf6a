"""A slider that moves, on the server: exact figures, first accuracy with an interval, for every layer of every sample.

`exact` is Workbench.exact of a plan with one layer changed; `first_accuracy` is Workbench.edit and refine(0), so a
mask, a weight and one chunk of examples. Both after the ranking, which is given apart, as a move meets it only once.
"""

import random
from typing import Any

import torch

import pruning_core as pc
from pruning_core.workbench import Workbench
from tests.benchmarks.common import Stopwatch, load, parser, percentile, progress, run

AIM_MS = {"wall_p50_ms": 100, "wall_p95_ms": 250}  # of every layer, to the first accuracy with its interval
SPARSITIES = (0.3, 0.5, 0.7, 0.85, 0.4, 0.6, 0.8, 0.2)


def rank_all(bench: Workbench) -> dict[str, float]:
    """Rank every layer and return the time of the slowest."""
    watch = Stopwatch()
    for layer in bench.model.graph.layers:
        with watch.time():
            bench.ranking.ranks(layer.name, pc.LayerPlan())
    return {"slowest_layer_wall_ms": round(1000 * max(watch.wall), 2)}


def measure_sample(name: str, moves: int) -> dict[str, Any]:
    """Move the slider of each layer `moves` times, layers in random order, all others left where they are."""
    bench = Workbench(*load(name))
    bench.refine(0.0)
    ranking, exact, first, by_layer = rank_all(bench), Stopwatch(), Stopwatch(), {}
    names = [layer.name for layer in bench.model.graph.layers]
    random.Random(0).shuffle(names)
    for layer in names:
        watch = by_layer[layer] = Stopwatch()
        for sparsity in (SPARSITIES * moves)[:moves]:
            with exact.time():
                bench.exact(bench.plan.with_layer(layer, sparsity=sparsity / 2))
            with watch.time(), first.time():
                bench.edit(layer, sparsity=sparsity)
                bench.refine(0.0)
    slowest = max(by_layer, key=lambda layer: percentile(by_layer[layer].cpu, 50))
    layers = {layer: by_layer[layer].percentiles for layer in names}
    return {
        "ranking": ranking,
        "exact": exact.percentiles,
        "first_accuracy": first.percentiles,
        "slowest_layer": {"name": slowest, **by_layer[slowest].percentiles},
        "outside_the_aim": [name for name in names if any(layers[name][key] > aim for key, aim in AIM_MS.items())],
        "layers": layers,
    }


def main() -> None:
    """Print the figures of all samples."""
    options = parser(__doc__)
    options.add_argument("--moves", type=int, default=16, help="moves of each layer's slider")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found = {}
        for name in given.samples:
            progress(name)
            found[name] = measure_sample(name, given.moves)
        return {"aim": AIM_MS, "samples": found}

    with torch.no_grad():
        run(measure)


if __name__ == "__main__":
    main()
