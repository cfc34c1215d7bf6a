"""Rows of coupled layers: a wish for what they share stands on each of them, into the row and out of it."""

import pytest
import torch
from torch import Tensor, nn

from pruning_core.apply import check, masks_for
from pruning_core.coupled import edited, row_of, spread
from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking

CHANNELS = LayerPlan(sparsity=0.5, granularity="output_channel")


class Residual(nn.Module):
    """`stem` and `second` meet in a sum, `first` stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        logits: Tensor = self.fc((x + self.second(self.first(x).relu())).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    torch.manual_seed(0)
    return Ranking(Model("residual", Residual().eval(), (torch.randn(1, 1, 5, 5),)))


def test_a_row_is_what_a_wish_takes_from(ranking: Ranking) -> None:
    assert row_of("stem", CHANNELS, ranking) == ("stem", "second")
    assert row_of("first", CHANNELS, ranking) == ("first",)
    assert row_of("stem", LayerPlan(sparsity=0.5), ranking) == ("stem",)


def test_one_member_moves_all(ranking: Ranking) -> None:
    plan = edited(Plan(), {"second": CHANNELS.model_dump()}, ranking)
    assert plan.layers == {"second": CHANNELS, "stem": CHANNELS}
    moved = edited(plan, {"stem": {"sparsity": 0.25}}, ranking)
    assert moved.layer("second") == moved.layer("stem") == CHANNELS.model_copy(update={"sparsity": 0.25})
    alone = edited(moved, {"first": {"sparsity": 0.5}}, ranking)
    assert alone.layers == moved.layers | {"first": LayerPlan(sparsity=0.5)}


def test_who_leaves_the_row_takes_the_others_along(ranking: Ranking) -> None:
    plan = Plan(layers={"stem": CHANNELS, "second": CHANNELS})
    left = edited(plan, {"stem": {"granularity": "fine_grained"}}, ranking)
    assert {left.layer(name).granularity for name in ("stem", "second")} == {"fine_grained"}


def test_members_that_come_with_different_sparsities_take_the_smallest(ranking: Ranking) -> None:
    plan = Plan(layers={"stem": LayerPlan(sparsity=0.75), "second": LayerPlan(sparsity=0.5)})
    both = edited(plan, {name: {"granularity": "output_channel"} for name in ("stem", "second")}, ranking)
    assert both.layers == {"stem": CHANNELS, "second": CHANNELS}
    check(both, ranking.model, ranking)


def test_a_locked_member_is_not_drawn_in_but_a_locked_row_opens_as_one(ranking: Ranking) -> None:
    plan = Plan(layers={"stem": LayerPlan(locked=True)})
    with pytest.raises(PlanError, match="second: it shares channels with 'stem', which is locked; unlock that first"):
        edited(plan, {"second": CHANNELS.model_dump()}, ranking)
    row = edited(Plan(), {"stem": CHANNELS.model_dump() | {"locked": True}}, ranking)
    assert row.layer("second").locked
    assert not edited(row, {"second": {"locked": False}}, ranking).layer("stem").locked


def test_a_plan_that_names_one_member_is_spread_over_its_row(ranking: Ranking) -> None:
    plan = Plan(layers={"second": CHANNELS, "first": LayerPlan(sparsity=0.5)})
    whole = spread(plan, ranking)
    assert whole.layers == plan.layers | {"stem": CHANNELS}
    before, after = (masks_for(ranking.model, p, ranking=ranking) for p in (plan, whole))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_wish_of_its_own_stays(ranking: Ranking) -> None:
    plan = Plan(layers={"second": CHANNELS, "stem": LayerPlan(sparsity=0.5)})
    assert spread(plan, ranking) == plan
