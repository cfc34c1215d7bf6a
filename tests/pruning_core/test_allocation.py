"""Allocations on models whose losses are known by hand, and the wording of budgets."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation import ALLOCATIONS, Allocation, Budget, Problem, allocate, parse_budget
from pruning_core.apply import masks_for
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import Cancelled, DataError, PlanError, PruningError, UnknownName
from pruning_core.model import Model
from pruning_core.plan import LayerPlan

LEVELS = (6 / 9, 7 / 9, 8 / 9)


def diagonal(*values: float) -> nn.Linear:
    """A layer that passes input i on to output i; six of its nine weights are zero and can go for nothing."""
    layer = nn.Linear(3, 3, bias=False)
    layer.weight.data = torch.diag(torch.tensor(values).float())
    return layer


def one_hot(labelled: bool = True) -> Dataset:
    """Three examples, one of each class."""
    x = np.eye(3, dtype=np.float32)
    return Dataset("toy", "toy", {"validation": EvalData("toy", "all", x, np.arange(3) if labelled else None)})


@cache
def model(kind: str) -> Model:
    """Traced once: nothing here changes a model."""
    modules = {
        "diagonal": lambda: nn.Sequential(diagonal(3, 2, 1)),
        "twice": Twice,
        "mixed": lambda: nn.Sequential(diagonal(3, 2, 1), nn.Linear(3, 4, bias=False), nn.Linear(4, 3, bias=False)),
    }
    return Model("toy", modules[kind](), (torch.zeros(2, 3),))


def problem(kind: str, dataset: Dataset | None = None, wish: LayerPlan | None = None, **more: Any) -> Problem:
    return Problem(model(kind), dataset or one_hot(), wish or LayerPlan(), levels=LEVELS, **more)


def removed(task: Problem, found: Allocation) -> int:
    return sum(int((~mask).sum()) for mask in masks_for(task.model, found.plan).values())


class Twice(nn.Module):
    """Two branches that do the same: either alone suffices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = diagonal(1, 1, 1), diagonal(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def test_uniform_gives_every_layer_the_same() -> None:
    found = allocate("uniform", problem("twice"), sparsity=6 / 9)
    assert {name: wish.sparsity for name, wish in found.plan.layers.items()} == {"a": 6 / 9, "b": 6 / 9}
    assert (found.why_dense, found.predicted_drop, found.measured_drop) == ({}, None, None)


@pytest.mark.parametrize(("tolerance", "n", "loss"), [(0.0, 6, 0.0), (0.1, 6, 0.1), (0.34, 7, 1 / 3), (1.0, 8, 2 / 3)])
def test_sensitivity_goes_as_far_as_the_tolerance_allows(tolerance: float, n: int, loss: float) -> None:
    task = problem("diagonal")
    found = allocate("sensitivity", task, tolerance=tolerance)
    assert removed(task, found) == n
    assert found.predicted_drop == pytest.approx(loss, abs=0.01)


@pytest.mark.parametrize(("limit", "n", "loss"), [(0.0, 6, 0.0), (0.3, 6, 0.0), (0.34, 7, 1 / 3), (1.0, 8, 2 / 3)])
def test_budget_removes_most_within_the_measured_drop(limit: float, n: int, loss: float) -> None:
    task = problem("diagonal")
    found = allocate("budget", task, value=limit, least="params")
    assert removed(task, found) == n
    assert found.measured_drop is not None
    assert found.measured_drop.value == pytest.approx(loss)
    assert found.measured_drop.n == 3


def test_budget_counts_what_layers_lose_together() -> None:
    task = problem("twice")
    alone = allocate("sensitivity", task, tolerance=0.0)
    assert removed(task, alone) == 16
    assert alone.predicted_drop == 0
    assert task.drop_of(alone.plan).value == pytest.approx(2 / 3)
    found = allocate("budget", task, value=0.0)
    assert found.measured_drop is not None
    assert found.measured_drop.value == 0
    assert removed(task, found) == 12


def test_a_pattern_takes_its_own_share_or_nothing() -> None:
    wish = LayerPlan(granularity="n_m", settings={"n": 1, "m": 3})
    task = problem("diagonal", wish=wish)
    assert task.steps == pytest.approx((0, 2 / 3))
    found = allocate("budget", task, value=0.0)
    assert removed(task, found) == 6
    assert found.plan.layers["0"].sparsity == pytest.approx(2 / 3)


def test_a_layer_that_can_lose_nothing_says_why() -> None:
    found = allocate("sensitivity", problem("diagonal", wish=LayerPlan(granularity="row")), tolerance=0.0)
    assert found.plan.layers == {}
    assert found.why_dense == {"0": "0: even its smallest cut alone costs more than 0 of accuracy"}


def test_a_layer_that_the_wish_does_not_fit_says_why() -> None:
    wish = LayerPlan(granularity="n_m", settings={"n": 2, "m": 4})
    found = allocate("sensitivity", problem("mixed", wish=wish), tolerance=1.0)
    assert list(found.plan.layers) == ["2"]
    assert "0: 2:4 needs inputs in groups of 4, this layer has 3" in found.why_dense["0"]


def test_a_pattern_that_fits_no_layer_is_refused() -> None:
    wish = LayerPlan(granularity="n_m", settings={"n": 2, "m": 4})
    with pytest.raises(PruningError, match="0: 2:4 needs inputs in groups of 4"):
        _ = problem("diagonal", wish=wish).steps


def test_a_budget_needs_targets_and_data() -> None:
    with pytest.raises(DataError, match="data 'toy' has no targets"):
        allocate("budget", problem("diagonal", one_hot(labelled=False)))
    with pytest.raises(DataError, match="it needs data; uniform works without"):
        allocate("sensitivity", Problem(model("twice")))


def test_work_can_be_cancelled() -> None:
    with pytest.raises(Cancelled, match="stopped after 0 cells"):
        allocate("budget", problem("diagonal", cancelled=lambda: True))


def test_settings_and_names_are_checked() -> None:
    with pytest.raises(UnknownName, match=r"unknown allocation 'unifrom'; did you mean 'uniform'\?"):
        allocate("unifrom", problem("twice"))
    with pytest.raises(PlanError, match=r"setting 'sparsity' is 1.5; it takes a number from 0 to 1"):
        allocate("uniform", problem("twice"), sparsity=1.5)


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_every_member_names_its_source_or_measure(name: str) -> None:
    member = ALLOCATIONS[name]
    assert "arXiv" in member.doc or "measured" in member.doc
    assert member.settings


BUDGETS = {
    "accuracy_drop<=0.01": Budget("accuracy_drop", 0.01),
    " accuracy_drop <= 1e-2 ": Budget("accuracy_drop", 0.01),
    "size<=0.5": Budget("size", 0.5),
    "size<=200kB": Budget("size", 200e3, is_fraction=False),
    "size<=1.5MiB": Budget("size", 1.5 * 2**20, is_fraction=False),
    "macs<=0.5": Budget("macs", 0.5),
    "macs<=150M": Budget("macs", 150e6, is_fraction=False),
    "macs<=1.8GMACs": Budget("macs", 1.8e9, is_fraction=False),
    "macs<=3000": Budget("macs", 3000, is_fraction=False),
    "params<=2M": Budget("params", 2e6, is_fraction=False),
    "latency<=0.7": Budget("latency", 0.7),
    "latency<=2ms": Budget("latency", 2e6, is_fraction=False),
}


@pytest.mark.parametrize(("text", "budget"), BUDGETS.items())
def test_a_budget_is_read(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


DROP = "'accuracy_drop<=0.01' works: a fraction from 0 to 1"
BAD_BUDGETS = {
    **dict.fromkeys(["0.01", "accuracy_drop<0.01", "accuracy_drop<=x", "accuracy_drop<=1%", "accuracy_drop<=2"], DROP),
    **dict.fromkeys(["accuracy_drop<=-0.1", "accuracy_drop<=nan", "", "accuracy_drop<=0.1MB"], DROP),
    "accuracy<=0.9": "did you mean 'accuracy_drop'?",
    "size<=200": "'size<=0.5' of the dense bytes, or 'size<=200kB', works",
    "size<=-1kB": "'size<=0.5' of the dense bytes, or 'size<=200kB', works",
    "macs<=5ms": "'macs<=0.5' of the dense ones, or 'macs<=150M', works",
    "latency<=2": "'latency<=0.7' of the dense time, or 'latency<=2ms', works",
    "params<=1.2.3": "'params<=0.5' of the dense ones, or 'params<=2M', works",
}


@pytest.mark.parametrize(("text", "works"), BAD_BUDGETS.items())
def test_another_budget_is_refused_with_what_works(text: str, works: str) -> None:
    with pytest.raises(PlanError, match=re.escape(f"the budget '{text}' is not understood; {works}")):
        parse_budget(text)
