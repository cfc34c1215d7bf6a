"""Allocations over layers that are cut and scored in different ways: each keeps its own, its sparsity alone changes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.allocation import ALLOCATIONS, Problem, allocate, compare_allocations, parse_budget, within
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import PlanError, UnknownName
from pruning_core.metrics import Measurement
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.sensitivity import Cell, Sweep, Tally
from pruning_core.sensitivity.limits import merged
from pruning_core.sensitivity.sweep import Progress

LEVELS = (0.25, 0.5)
WAYS = {"2": LayerPlan(granularity="row", criterion="l2"), "4": LayerPlan(granularity="n_m", settings={"n": 2, "m": 4})}


@cache
def model() -> Model:
    torch.manual_seed(0)
    linears = [nn.Linear(8, 12), nn.Linear(12, 16), nn.Linear(16, 4)]
    return Model("net", nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2]), (torch.zeros(2, 8),))


@cache
def data() -> Dataset:
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    with torch.no_grad():
        y = model().module(torch.from_numpy(x)).argmax(1).numpy()
    return Dataset("toy", "toy", {split: EvalData("toy", split, x, y) for split in ("validation", "calibration")})


def ways_of(plan: Plan) -> dict[str, tuple[str, str]]:
    return {name: (wish.granularity, wish.criterion) for name, wish in plan.layers.items()}


OWN = {"0": ("fine_grained", "l1"), "2": ("row", "l2"), "4": ("n_m", "l1")}


@pytest.mark.parametrize("name", ["uniform", "sensitivity", "budget"])
def test_each_layer_keeps_its_way(name: str) -> None:
    task = Problem(model(), data(), levels=LEVELS, ways=WAYS)
    found = ALLOCATIONS[name].at(task, 0.5)
    assert {n: own for n, own in ways_of(found.plan).items() if found.plan.layer(n).sparsity} == OWN
    assert found.plan.layer("4").sparsity == 0.5


def test_a_layer_that_is_not_cut_is_still_wished_for_in_its_way() -> None:
    found = within(Problem(model(), data(), levels=LEVELS, ways=WAYS), parse_budget("params<=1"))
    assert found.plan.layers == {name: wish.model_copy(update={"sparsity": 0.0}) for name, wish in WAYS.items()}


def test_one_sweep_for_each_way_and_one_progress_for_all() -> None:
    seen: list[Progress] = []
    task = Problem(model(), data(), levels=LEVELS, ways=WAYS, on_progress=seen.append)
    assert [(r.granularity, r.criterion, r.layers) for r in task.requests()] == [
        ("fine_grained", "l1", ("0",)), ("row", "l2", ("2",)), ("n_m", "l1", ("4",)),
    ]  # fmt: skip
    assert [(cell.layer, cell.sparsity) for cell in task.sweep.cells] == [
        ("0", 0.25), ("0", 0.5), ("2", 0.25), ("2", 0.5), ("4", 0.5),
    ]  # fmt: skip
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    same = Problem(model(), data(), levels=LEVELS, ways={"2": LayerPlan()})
    assert [request.layers for request in same.requests()] == [None]


def test_layers_that_do_not_compare_are_refused_by_name() -> None:
    two = {"2": LayerPlan(criterion="l2")}
    with pytest.raises(PlanError, match="2: one threshold for all needs one criterion, but it is scored by 'l2'"):
        allocate("global", Problem(model(), data(), ways=two), sparsity=0.5)
    with pytest.raises(PlanError, match=r"n_m removes only 0 or 0\.5"):
        allocate("erk", Problem(model(), data(), ways=WAYS), sparsity=0.5)
    lamp = allocate("lamp", Problem(model(), data(), ways=two), sparsity=0.5)  # squares, whatever is wished
    assert ways_of(lamp.plan)["2"] == ("fine_grained", "l2")
    assert {n: w.sparsity for n, w in lamp.plan.layers.items()} == {
        n: w.sparsity for n, w in allocate("lamp", Problem(model(), data()), sparsity=0.5).plan.layers.items()
    }
    with pytest.raises(UnknownName, match="did you mean"):
        allocate("uniform", Problem(model(), data(), ways={"22": LayerPlan()}))


def test_ranks_that_are_there_are_used_and_each_measured_plan_is_told() -> None:
    told: list[Measurement] = []
    ranking = Ranking(model(), data().calibration)
    task = Problem(model(), data(), ranked=ranking, on_plan=told.append)
    (found,) = compare_allocations(task, ["uniform"], sparsity=0.25)
    assert task.ranking is ranking
    assert told == [found.measured_drop]


def test_sweeps_are_merged() -> None:
    def sweep(layer: str, granularity: str, n: int, **skipped: str) -> Sweep:
        cells = (Cell(layer, 0.5, 0.5, (Tally(n, n, labelled=True),)),)
        return Sweep("m", "d", n, 1.0, 0.0, granularity, "l1", {}, True, cells, 1.5, skipped)

    one, other = sweep("a", "row", 40, b="no", c="never"), sweep("b", "column", 30)
    assert merged([one]) is one
    both = merged([one, replace(other, exact=False)])
    assert both.cells == one.cells + other.cells
    assert (both.granularity, both.criterion, both.n_samples, both.exact, both.seconds) == ("mixed", "l1", 30, False, 3)
    assert both.skipped == {"c": "never"}
