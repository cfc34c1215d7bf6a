"""Budgets on the grid of measured cells: against trying every plan; what is held, bounded, counted, timed, compared."""

import re
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.allocation import (
    ALLOCATIONS,
    COSTS,
    Allocation,
    Budget,
    Problem,
    allocate,
    compare_allocations,
    parse_budget,
    within,
)
from pruning_core.allocation.budget import limit_of
from pruning_core.allocation.curves import Curve, monotone
from pruning_core.allocation.grid import Grid
from pruning_core.allocation.timing import Timings, kept_sizes, operator_call
from pruning_core.apply import masks_for
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError, PlanError, UnknownName
from pruning_core.metrics import Measurement
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.tally import Tally

LEVELS = (0.25, 0.5, 0.75, 0.9)
N = 1000
NAMES = ("a", "b", "c")


class Net(nn.Module):
    """Three layers in a row, channels free between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.c(self.b(self.a(x).relu()).relu().mean((2, 3)))
        return logits


@cache
def net() -> Model:
    torch.manual_seed(0)
    return Model("net", Net(), (torch.zeros(2, 1, 8, 8),))


@cache
def data() -> Dataset:
    """Sixty examples with the dense model's own answers as targets, so that dense accuracy is 1."""
    x = np.random.default_rng(0).normal(size=(60, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        y = net().module(torch.from_numpy(x)).argmax(1).numpy()
    return Dataset("toy", "toy", {split: EvalData("toy", split, x, y) for split in ("validation", "calibration")})


def sweep_of(lost: dict[str, list[int]], levels: tuple[float, ...] = LEVELS, **more: Any) -> Sweep:
    """A sweep in which each layer loses so many of N examples at each level."""
    cells = tuple(
        Cell(name, level, level, (Tally(N, correct=N - n, gained=max(0, -n), lost=max(0, n), labelled=True),))
        for name, losses in lost.items()
        for level, n in zip(levels, losses, strict=True)
    )
    found = Sweep("net", "toy", N, 1.0, 0.0, "fine_grained", "l1", {}, True, cells, 0.0, {})
    return replace(found, **more)


def problem(lost: dict[str, list[int]], **more: Any) -> Problem:
    return Problem(net(), data(), measured=sweep_of(lost), **more)


LOST = {"a": [5, 20, 100, 400], "b": [0, 10, 40, 300], "c": [0, 0, 20, 200]}


def levels_of(found: Allocation) -> dict[str, float]:
    return {name: wish.sparsity for name, wish in found.plan.layers.items()}


def every_plan(task: Problem) -> list[tuple[float, dict[str, int]]]:
    """Predicted drop and counted costs of every choice of cells."""
    found = []
    for choice in product((0.0, *LEVELS), repeat=3):
        wishes = {name: task.wish_at(level) for name, level in zip(NAMES, choice, strict=True) if level}
        drop = sum(task.curves[name].loss_at(level) for name, level in zip(NAMES, choice, strict=True))
        found.append((drop, {c: COSTS[c](task, task.planned(wishes)) for c in ("params", "size", "macs")}))
    return found


@pytest.mark.parametrize("name", ["params", "size", "macs"])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.8, 1.0])
def test_the_least_drop_under_a_cost_is_that_of_trying_every_plan(name: str, share: float) -> None:
    task = problem(LOST)
    limit = int(share * COSTS[name](task, Plan()))
    best = min(drop for drop, costs in every_plan(task) if costs[name] <= limit)
    found = Grid.of(task, COSTS[name]).least_drop(limit)
    assert found is not None
    assert found[0].predicted_drop == pytest.approx(best, abs=1e-12)
    assert COSTS[name](task, found[0].plan) <= limit
    assert found[1].gap == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-20, 400), min_size=4, max_size=4), min_size=3, max_size=3), st.floats(0, 0.5))
def test_the_least_cost_under_a_drop_is_that_of_trying_every_plan(losses: list[list[int]], drop: float) -> None:
    task = problem(dict(zip(NAMES, losses, strict=True)))
    best = min(costs["params"] for predicted, costs in every_plan(task) if predicted <= drop + 1e-12)
    found = Grid.of(task, COSTS["params"]).least_cost(drop)
    assert COSTS["params"](task, found.plan) == best
    assert (found.predicted_drop or 0) <= drop + 1e-11


def test_the_answer_carries_what_was_predicted_and_what_was_measured() -> None:
    found = within(problem(LOST), parse_budget("params<=0.5"))
    assert found.measured_drop is not None
    assert found.measured_drop.n == 60
    assert found.measured_drop.interval is not None
    low, high = found.predicted_interval or (0, 0)
    assert low < (found.predicted_drop or 0) < high
    assert [curve.layer for curve in found.curves] == list(NAMES)
    assert [-cell.drop for cell in found.curves[0].cells] == [0.005, 0.02, 0.1, 0.4]


def test_a_limit_on_the_measured_drop_is_kept() -> None:
    task = Problem(net(), data(), levels=LEVELS)
    found = within(task, Budget("accuracy_drop", 0.05), "macs")
    assert found.measured_drop is not None
    assert found.measured_drop.value <= 0.05
    assert found.measured_drop == task.drop_of(found.plan)
    wider = within(task, Budget("accuracy_drop", 0.3), "macs")
    assert COSTS["macs"](task, wider.plan) <= COSTS["macs"](task, found.plan) < net().graph.macs


def churned(changed: dict[str, list[int]], levels: tuple[float, ...]) -> Sweep:
    """A sweep without any drop, in which so many of N answers changed, half of them for the better."""
    cells = tuple(
        Cell(name, level, level, (Tally(N, correct=N, gained=n // 2, lost=n // 2, labelled=True),))
        for name, counts in changed.items()
        for level, n in zip(levels, counts, strict=True)
    )
    return replace(sweep_of({}), cells=cells)


@pytest.mark.parametrize(("sure", "doubtful"), [("a", "c"), ("c", "a")])
def test_among_equal_predictions_the_surest_cells_are_taken(sure: str, doubtful: str) -> None:
    changed = {sure: [0, 0], "b": [400, 400], doubtful: [200, 200]}
    task = Problem(net(), data(), measured=churned({name: changed[name] for name in NAMES}, (0.5, 0.75)))
    for fewer in (20, 30):  # each of a and c alone can give it
        found = within(task, Budget("params", net().graph.params - fewer, is_fraction=False))
        assert list(levels_of(found)) == [sure]


class Fragile(Problem):
    """A model that loses accuracy where `b` or `c` lose more than a quarter."""

    def drop_of(self, plan: Plan) -> Measurement:
        drop = 0.05 if max(plan.layer("b").sparsity, plan.layer("c").sparsity) > 0.25 else 0.01
        return Measurement(drop, "fraction", False, (drop, drop), "", N)


@pytest.mark.parametrize("limit", [0.01, 0.02])
def test_under_a_limit_on_the_drop_cells_that_changed_many_answers_are_left_out(limit: float) -> None:
    task = Fragile(net(), data(), measured=churned({"a": [0, 0], "b": [0, 300], "c": [0, 300]}, (0.25, 0.9)))
    found = within(task, Budget("accuracy_drop", limit), "params")
    assert levels_of(found) == {"a": 0.9, "b": 0.25, "c": 0.25}
    assert found.measured_drop is not None
    assert found.measured_drop.value == 0.01


def test_the_fit_never_falls_and_keeps_the_raw_cells() -> None:
    curve = Curve.of(sweep_of({"a": [-10, 30, 10, 50]}).cells)
    assert curve.fitted == pytest.approx((0, 0.02, 0.02, 0.05))  # a gain is none; 30 and 10 are pooled
    assert [cell.tally.lost - cell.tally.gained for cell in curve.cells] == [-10, 30, 10, 50]
    assert curve.loss_at(0.125) == 0
    assert curve.loss_at(0.825) == pytest.approx(0.035)
    assert curve.loss_at(0.99) == pytest.approx(0.05)
    low, high = curve.interval_at(0.9)
    assert low < 0.05 < high
    assert curve.interval_at(0.0) == (0, 0)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_the_fit_is_the_nearest_that_never_falls(points: list[tuple[int, int]]) -> None:
    values, weights = [float(v) for v, _ in points], [float(w) for _, w in points]
    n = len(points)

    def mean(start: int, end: int) -> float:
        return float(np.average(values[start : end + 1], weights=weights[start : end + 1]))

    by_min_max = [max(min(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)]
    assert monotone(values, weights) == pytest.approx(by_min_max)  # the min-max formula (Robertson et al. 1988)


def test_what_is_held_stays_and_counts() -> None:
    present = Plan().with_layers({"b": {"sparsity": 0.9, "locked": True}, "c": {"sparsity": 0.3}})
    task = problem(LOST, plan=present, overrides=frozenset({"c"}))
    found = allocate("budget", task, limit="params", value=0.3)
    assert {name: found.plan.layers[name] for name in ("b", "c")} == present.layers
    assert found.plan.layers.get("a", LayerPlan()).sparsity == 0  # what is held meets the budget alone
    assert found.predicted_drop == pytest.approx(0.3)  # b at 0.9; c at 0.3 costs nothing
    with pytest.raises(PlanError, match="no plan on the measured levels has at most"):
        allocate("budget", problem(LOST, plan=Plan().with_layer("b", locked=True)), limit="params", value=0.3)


def test_least_and_largest_sparsities_are_kept() -> None:
    free = levels_of(allocate("budget", problem(LOST), limit="params", value=0.4))
    assert free["b"] == 0.75
    bounded = problem(LOST, minimum={"a": 0.3, "c": 0.9}, maximum={"b": 0.7})
    found = levels_of(Grid.of(bounded, COSTS["params"]).least_cost(1.0))
    assert found == {"a": 0.9, "b": 0.5, "c": 0.9}
    assert levels_of(Grid.of(bounded, COSTS["params"]).least_cost(0.0)) == {"a": 0.5, "b": 0.25, "c": 0.9}
    soft = levels_of(allocate("sensitivity", bounded, tolerance=0.01))
    assert soft == {"a": pytest.approx(0.333, abs=1e-3), "b": 0.5, "c": 0.9}
    with pytest.raises(PlanError, match=r"b: no measured level lies from 0.92 to 1; there are 0.25, 0.5, 0.75, 0.9"):
        Grid.of(problem(LOST, minimum={"b": 0.92}), COSTS["params"])
    with pytest.raises(PlanError, match=r"b: a least sparsity of 0.8 and a largest of 0.2 leave no choice"):
        Grid.of(problem(LOST, minimum={"b": 0.8}, maximum={"b": 0.2}), COSTS["params"])
    with pytest.raises(UnknownName, match="did you mean"):
        Grid.of(problem(LOST, overrides=frozenset({"aa"})), COSTS["params"])


def test_layers_with_too_little_to_gain_are_left() -> None:
    found = allocate("sensitivity", problem(LOST, least_gain=0.1), tolerance=1.0)
    assert list(found.plan.layers) == ["b"]
    assert found.why_dense["c"] == "c: it holds 3.77% of the weights; layers below 10.00% stay dense"


def test_a_budget_out_of_reach_says_what_is_possible() -> None:
    task = problem(LOST)
    least = min(costs["size"] for _, costs in every_plan(task))
    message = f"no plan on the measured levels has at most 100 bytes; the least is {least:,}, so raise the budget"
    with pytest.raises(PlanError, match=re.escape(message)):
        within(task, parse_budget("size<=100B"))
    with pytest.raises(DataError, match="it needs data"):
        within(Problem(net(), measured=sweep_of(LOST)), parse_budget("size<=0.5"))
    assert within(task, Budget("size", least, is_fraction=False)).measured_drop is not None


def test_costs_are_counted() -> None:
    task = problem(LOST)
    plan = task.planned({"b": task.wish_at(0.75)})  # 1,152 weights, 288 kept; 3 x 3 positions
    graph = net().graph
    assert COSTS["params"](task, plan) == graph.params - 864
    assert COSTS["macs"](task, plan) == graph.macs - 864 * 9
    assert COSTS["size"](task, plan) == graph.size_bytes - 1152 * 4 + 288 * 4 + 1152 // 8  # a bitmask is smallest
    sparse = task.planned({"b": task.wish_at(0.99)})  # 12 kept: CSR, 12 values and columns, 17 row pointers
    assert COSTS["size"](task, sparse) == graph.size_bytes - 1152 * 4 + 12 * 8 + 17 * 4
    pattern = Plan().with_layer("b", sparsity=0.5, granularity="n_m", settings={"n": 2, "m": 4})
    assert COSTS["size"](task, pattern) == graph.size_bytes - 1152 * 4 + 576 * 4 + 576 * 2 // 8
    assert limit_of(task, parse_budget("macs<=0.5")) == graph.macs // 2
    assert limit_of(task, parse_budget("macs<=3k")) == 3000


def structural(**more: Any) -> Problem:
    lost = {"a": [5, 20, 100, 400], "b": [0, 10, 40, 300]}
    found = sweep_of(lost, granularity="output_channel")
    return Problem(net(), data(), LayerPlan(granularity="output_channel"), measured=found, **more)


@pytest.mark.parametrize(("name", "value"), [("size", 0.5), ("macs", 0.4), ("params", 0.3)])
def test_channels_count_for_the_layers_that_read_them_too(name: str, value: float) -> None:
    task = structural()
    found = allocate("budget", task, limit=name, value=value)
    counted = COSTS[name](task, found.plan)
    assert counted <= value * COSTS[name](task, Plan())
    masks = masks_for(net(), found.plan)
    kept = {n: int(masks[n].sum()) if n in masks else layer.n_weights for n, layer in net().graph.by_name.items()}
    if name == "size":
        gone = sum(layer.n_weights - kept[n] for n, layer in net().graph.by_name.items())
        assert counted == net().graph.size_bytes - 4 * gone
    if name == "macs":
        assert counted == 64 * kept["a"] + 9 * kept["b"] + kept["c"]


def test_latency_of_zeros_in_place_is_refused_before_the_work() -> None:
    with pytest.raises(PlanError, match="latency does not fall with fine_grained: its weights are zeros in place"):
        within(Problem(net(), data()), parse_budget("latency<=0.5"))


def test_a_latency_budget_uses_what_each_layer_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every multiply-accumulate took a nanosecond, and nothing else any time."""
    uses = {"a": 64, "b": 9, "c": 1}

    def saved(self: Timings, layer: Any, sizes: tuple[int, int]) -> int:
        whole = layer.n_weights
        return int(uses[layer.name] * (whole - whole * sizes[0] * sizes[1] // np.prod(layer.weight_shape[:2])))

    monkeypatch.setattr(Timings, "saved_ns", saved)
    monkeypatch.setattr(Timings, "dense_ns", net().graph.macs)
    task = structural()
    found = within(task, parse_budget("latency<=0.4"))
    assert COSTS["latency"](task, found.plan) == COSTS["macs"](task, found.plan) <= 0.4 * net().graph.macs
    assert levels_of(found) == levels_of(within(task, parse_budget("macs<=0.4")))


def test_operators_are_timed_at_the_sizes_that_are_kept() -> None:
    mask = torch.zeros(4, 3, 2, dtype=torch.bool)
    mask[0, 1, 1] = mask[2, 1, 0] = True
    assert kept_sizes(mask) == (2, 1)
    timings, layers = Timings(net()), net().graph.by_name
    for name, sizes, shape in (("a", (4, 1), (1, 4, 8, 8)), ("b", (6, 4), (1, 6, 3, 3)), ("c", (3, 6), (1, 3))):
        result = operator_call(timings._shapes, layers[name], layers[name].nodes[0], sizes)()
        assert isinstance(result, Tensor)
        assert tuple(result.shape) == shape
    assert timings.saved_ns(layers["b"], (16, 8)) == 0


def test_a_depthwise_layer_is_timed_with_fewer_groups() -> None:
    model = Model("depthwise", nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten()),
                  (torch.zeros(2, 1, 5, 5),))  # fmt: skip
    layer = model.graph.layers[1]
    result = operator_call(Timings(model)._shapes, layer, layer.nodes[0], (5, 1))()
    assert isinstance(result, Tensor)
    assert tuple(result.shape) == (1, 5, 3, 3)


def test_allocations_are_compared_at_one_sparsity() -> None:
    task = problem(LOST)
    found = compare_allocations(task, ALLOCATIONS, sparsity=0.6)
    assert [row.name for row in found] == list(ALLOCATIONS)
    weights = sum(layer.n_weights for layer in net().graph.layers)
    for row in found:
        assert row.refusal is None
        assert row.plan is not None
        assert row.sparsity == pytest.approx(0.6, abs=0.01) or row.name == "budget"
        assert row.n_removed == sum(int((~mask).sum()) for mask in masks_for(net(), row.plan).values())
        assert row.sparsity * weights == pytest.approx(row.n_removed)
        shares = dict(row.sparsities)
        assert row.predicted_drop == pytest.approx(sum(task.curves[n].loss_at(s) for n, s in shares.items()), abs=5e-3)
        assert row.measured_drop is not None
        assert row.measured_drop.interval is not None
    by_name = {row.name: row for row in found}
    assert by_name["budget"].sparsity >= 0.6


def test_allocations_are_compared_at_one_budget() -> None:
    task = problem(LOST)
    for row in compare_allocations(task, ["uniform", "erk", "sensitivity", "budget"], budget=Budget("macs", 0.5)):
        assert row.plan is not None, row.refusal
        assert COSTS["macs"](task, row.plan) <= 0.5 * net().graph.macs
        assert COSTS["macs"](task, row.plan) >= 0.4 * net().graph.macs
    pattern = Problem(net(), data(), LayerPlan(granularity="n_m"), measured=sweep_of({"b": [9]}, (0.5,)))
    (refused,) = compare_allocations(pattern, ["erk"], sparsity=0.5)
    assert refused.plan is None
    assert refused.refusal is not None
    assert "erk gives each layer a sparsity of its own" in refused.refusal
    for wrong in ({}, {"sparsity": 0.5, "budget": Budget("macs", 0.5)}, {"budget": Budget("accuracy_drop", 0.1)}):
        with pytest.raises(PlanError):
            compare_allocations(task, ["uniform"], **wrong)  # type: ignore[arg-type]
