"""All levels of a layer stacked in one walk, against one level after the other, forked from every layer of a sample.

Both run in turns on the same frontier; the figure is the ratio of processor time on this machine's processor. On an
accelerator stacking is what `--device` uses; `--device cuda` measures it there, where wall time is what counts.
"""

from time import perf_counter, process_time
from typing import Any

import torch

from pruning_core.ranking import Ranking
from pruning_core.sensitivity import Replay, Request
from pruning_core.sensitivity.evaluators import fork_levels
from tests.benchmarks.common import load, parser, progress, run

LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
RUNS = 3  # of both at each layer, the first of which is not timed


def measure_sample(name: str, n: int, device: str) -> dict[str, Any]:
    """Return seconds of both ways, summed over the layers."""
    model, data = load(name)
    ranking, replay = Ranking(model), Replay(model.graph).to(device)
    clock = process_time if device == "cpu" else perf_counter
    frontier = replay.start(data.validation.batch(slice(n)))
    seconds, differing = {"one_by_one": 0.0, "stacked": 0.0}, 0.0
    for layer in sorted(replay.positions, key=replay.positions.__getitem__):
        levels = [replay.changed(ranking.change(layer, Request().wish(level))) for level in LEVELS]
        replay.advance(frontier, replay.positions[layer])
        for turn in range(RUNS):
            started = clock()
            alone = torch.stack([replay.fork_changed(frontier, changed) for changed in levels]).cpu()
            between = clock()
            stacked = fork_levels(replay, frontier, levels).cpu()
            if turn:
                seconds["one_by_one"] += between - started
                seconds["stacked"] += clock() - between
        differing = max(differing, float((alone - stacked).abs().max() / alone.abs().max()))
    return {**seconds, "ratio": seconds["stacked"] / seconds["one_by_one"], "largest_difference": differing}


def main() -> None:
    """Print the figures of all samples."""
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=64, help="examples")
    options.add_argument("--device", default="cpu", help="where to compute")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found = {}
        for name in given.samples:
            progress(name)
            found[name] = measure_sample(name, given.n, given.device)
        return {"n": given.n, "levels": len(LEVELS), "device": given.device, "samples": found}

    with torch.inference_mode():
        run(measure)


if __name__ == "__main__":
    main()
