"""The mask of 16.8 million weights: ranked once, then one comparison for each move of the slider."""

from typing import Any

import torch
from torch import nn

import pruning_core as pc
from pruning_core.model import Model
from pruning_core.ranking import Ranking
from tests.benchmarks.common import Stopwatch, run

SIDE = 4096
MOVES = 60
WAYS = ("fine_grained", "row", "block", "n_m")


def moves(ranking: Ranking, granularity: str) -> dict[str, Any]:
    """Rank once, then move."""
    rank, move = Stopwatch(), Stopwatch()
    levels = [0.5] if granularity == "n_m" else [0.1 + 0.8 * step / MOVES for step in range(MOVES)]
    wishes = [pc.LayerPlan(sparsity=level, granularity=granularity) for level in levels] * (MOVES // len(levels))
    with rank.time():
        ranking.mask("0", wishes[0])
    for wish in wishes:
        with move.time():
            ranking.mask("0", wish)
    return {"first_mask_s": round(rank.wall[0], 3), "move": move.percentiles}


def peers(weight: torch.Tensor) -> dict[str, Any]:
    """What others do for each move: a threshold by kthvalue, or the largest by topk."""
    kth, top, keep = Stopwatch(), Stopwatch(), weight.numel() * 3 // 10
    for _ in range(3):
        with kth.time():
            magnitudes = weight.abs()
            _ = magnitudes > magnitudes.flatten().kthvalue(weight.numel() - keep).values
        with top.time():
            mask = torch.zeros(weight.numel(), dtype=torch.bool)
            mask[weight.abs().flatten().topk(keep).indices] = True
    return {"kthvalue": kth.percentiles, "topk": top.percentiles}


def measure() -> dict[str, Any]:
    """Return the figures of each granularity and of the peers."""
    torch.manual_seed(0)
    layer = nn.Linear(SIDE, SIDE, bias=False)
    ranking = Ranking(Model("wide", nn.Sequential(layer).eval(), (torch.randn(2, SIDE),)))
    _ = ranking.model.graph  # traced before the clock starts
    return {"weights": SIDE * SIDE, "ours": {way: moves(ranking, way) for way in WAYS}, "peers": peers(layer.weight)}


if __name__ == "__main__":
    with torch.no_grad():
        run(measure)
