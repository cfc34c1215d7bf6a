"""The same shares as the allocators of PaddleSlim, AIMET, ShrinkBench and RigL, written anew from their rules."""

import numpy as np
import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pruning_core.allocation import COSTS, Problem, allocate
from pruning_core.allocation.curves import Curve
from pruning_core.allocation.erdos_renyi import densities
from pruning_core.allocation.grid import Grid
from pruning_core.allocation.sensitivity import at_sparsity, planned
from pruning_core.allocation.together import lamp_scores
from pruning_core.apply import masks_for
from pruning_core.model import Model
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.tally import Tally

LEVELS = tuple(i / 10 for i in range(1, 10))
N = 1000
Table = dict[str, list[float]]  # layer -> loss at each of LEVELS


def small() -> Model:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    return Model("small", nn.Sequential(*layers), (torch.zeros(2, 1, 8, 8),))


MODEL = small()
NAMES = [layer.name for layer in MODEL.graph.layers]
SIZES = {layer.name: layer.n_weights for layer in MODEL.graph.layers}


def problem(table: Table) -> Problem:
    cells = tuple(
        Cell(name, level, level, (Tally(N, correct=N - round(N * loss), lost=round(N * loss), labelled=True),))
        for name, losses in table.items()
        for level, loss in zip(LEVELS, losses, strict=True)
    )
    sweep = Sweep("small", "toy", N, 1.0, 0.0, "fine_grained", "l1", {}, True, cells, 0.0, {})
    return Problem(MODEL, measured=sweep)


def by_loss(table: Table, tolerance: float) -> dict[str, float]:
    """PaddleSlim's get_ratios_by_loss: from the highest ratio down to one within, then on the line to the next one."""
    ratios = {}
    for name, losses in table.items():
        points = [(0.0, 0.0), *zip(LEVELS, losses, strict=True)]
        place = max(i for i, (_, loss) in enumerate(points) if loss <= tolerance)
        ratios[name] = points[place][0]
        if place + 1 < len(points):
            (r0, l0), (r1, l1) = points[place : place + 2]
            ratios[name] = r0 + (tolerance - l0) * (r1 - r0) / (l1 - l0)
    return ratios


def by_score(table: Table, score: float, dense: float = 1.0) -> dict[str, float]:
    """AIMET's greedy selection: of a layer's candidates the strongest whose score is at least `score`."""
    return {
        name: max((level for level, loss in zip(LEVELS, losses, strict=True) if dense - loss >= score), default=0.0)
        for name, losses in table.items()
    }


TABLE = st.lists(st.lists(st.integers(0, 400), min_size=9, max_size=9).map(sorted), min_size=3, max_size=3).map(
    lambda rows: {name: [loss / N for loss in losses] for name, losses in zip(NAMES, rows, strict=True)}
)


@settings(max_examples=25, deadline=None)
@given(TABLE, st.integers(0, 450).map(lambda loss: (loss + 0.5) / N))
def test_ratios_by_loss_are_those_of_paddleslim(table: Table, tolerance: float) -> None:
    found = planned(problem(table), tolerance).plan
    for name, ratio in by_loss(table, tolerance).items():
        assert Curve.of(problem(table).sweep.of_layer(name)).largest_within(tolerance) == pytest.approx(ratio)
        if ratio * SIZES[name] > 1:  # else less than a block goes; sparsities are written in thousandths
            assert found.layer(name).sparsity == pytest.approx(ratio, abs=1.001e-3)


@settings(max_examples=25, deadline=None)
@given(TABLE, st.integers(0, 450).map(lambda loss: (loss + 0.5) / N))
def test_candidates_of_the_grid_are_those_of_aimet(table: Table, tolerance: float) -> None:
    for name, level in by_score(table, 1 - tolerance).items():
        curve = Curve.of(problem(table).sweep.of_layer(name))
        assert curve.largest_within(tolerance, steps=(0.0, *LEVELS)) == level


@settings(max_examples=20, deadline=None)
@given(TABLE, st.sampled_from([0.3, 0.5, 0.7]))
def test_one_tolerance_is_bisected_to_an_overall_sparsity(table: Table, sparsity: float) -> None:
    low, high = 0.0, 1.0
    for _ in range(60):  # of the loss, until the weights that go are as many as asked for
        middle = (low + high) / 2
        removed = sum(ratio * SIZES[name] for name, ratio in by_loss(table, middle).items())
        low, high = (low, middle) if removed >= sparsity * sum(SIZES.values()) else (middle, high)
    below, above = by_loss(table, low), by_loss(table, high)  # apart only where a curve is flat at that tolerance
    found = at_sparsity(problem(table), sparsity).plan
    removed = sum(round(found.layer(name).sparsity * SIZES[name]) for name in NAMES)
    assert abs(removed - sparsity * sum(SIZES.values())) <= len(NAMES) + 1e-3 * sum(SIZES.values())
    for name in NAMES:
        step = 0.02 + 1 / SIZES[name]  # a thousandth of every layer, and a weight
        least = below[name] if low > 1e-9 else 0.0  # below no loss at all the layers are scaled down
        assert least - step <= found.layer(name).sparsity <= above[name] + step


@settings(max_examples=40, deadline=None)
@given(TABLE, st.sampled_from([0.3, 0.5, 0.7]))
def test_the_exact_budget_is_never_worse_than_aimets_tolerance(table: Table, share: float) -> None:
    task = problem(table)
    limit, dense = int(share * MODEL.graph.macs), 1.0
    scores = sorted({dense - loss for losses in table.values() for loss in losses} | {dense}, reverse=True)
    for score in scores:  # the highest score whose candidates meet the cost
        ratios = by_score(table, score)
        plan = task.planned({n: task.wish_at(r) for n, r in ratios.items() if r})
        if COSTS["macs"](task, plan) <= limit:
            break
    else:
        return
    greedy = sum(task.curves[name].loss_at(ratio) for name, ratio in ratios.items())
    found = Grid.of(task, COSTS["macs"]).least_drop(limit)
    assert found is not None
    assert (found[0].predicted_drop or 0) <= greedy + 1e-9


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.8])
def test_global_masks_are_those_of_shrinkbench(sparsity: float) -> None:
    """ShrinkBench's GlobalMagWeight: keep what is above the share's threshold over all weights at once."""
    weights = {name: MODEL.graph.weight(name).abs() for name in NAMES}
    values = torch.cat([weight.flatten() for weight in weights.values()])
    threshold = values.sort().values[round(sparsity * len(values)) - 1]
    found = masks_for(MODEL, allocate("global", Problem(MODEL), sparsity=sparsity).plan)
    for name, weight in weights.items():
        assert torch.equal(
            found[name] if name in found else torch.ones_like(weight, dtype=torch.bool), weight > threshold
        )


def rigl(shapes: dict[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """RigL's get_sparsities_erdos_renyi_kernel (rigl/sparse_utils.py), its rounding of counts left out."""
    dense: set[str] = set()
    while True:
        divisor = right = 0.0
        raw = {}
        for name, shape in shapes.items():
            n = float(np.prod(shape))
            if name in dense:
                right -= sparsity * n
            else:
                right += (1 - sparsity) * n
                raw[name] = np.sum(shape) / np.prod(shape)
                divisor += raw[name] * n
        epsilon = right / divisor
        if max(raw.values()) * epsilon <= 1:
            return {name: 0.0 if name in dense else 1 - epsilon * raw[name] for name in shapes}
        dense |= {name for name, value in raw.items() if value == max(raw.values())}


RESNET = {"conv1": (64, 3, 7, 7), "a": (64, 64, 3, 3), "b": (128, 64, 3, 3), "down": (128, 64, 1, 1), "fc": (10, 512)}


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9, 0.98])
def test_densities_are_those_of_rigl(sparsity: float) -> None:
    sizes = {name: int(np.prod(shape)) for name, shape in RESNET.items()}
    found = densities(sizes, {name: sum(shape) / sizes[name] for name, shape in RESNET.items()}, 1 - sparsity)
    for name, share in rigl(RESNET, sparsity).items():
        assert 1 - found[name] == pytest.approx(share, abs=1e-12)
    assert sum(found[n] * sizes[n] for n in sizes) == pytest.approx((1 - sparsity) * sum(sizes.values()))


def test_lamp_is_that_of_torch_pruning() -> None:
    scores = torch.rand(20, generator=torch.Generator().manual_seed(0)).square()
    theirs = torch_pruning.importance.LAMPImportance(p=2)._normalize(scores.clone(), "lamp")
    assert lamp_scores(scores).tolist() == pytest.approx(theirs.tolist(), rel=1e-4)
