"""Allocations from shapes and from ranks: closed forms, exact counts, the same masks as scope model."""

from fractions import Fraction
from functools import cache
from math import prod

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation import Allocation, Problem, allocate
from pruning_core.allocation.erdos_renyi import densities
from pruning_core.allocation.together import lamp_scores, weakest
from pruning_core.apply import masks_for, uniform_plan
from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan


class Small(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x).relu()).relu().mean((2, 3))
        logits: Tensor = self.c(x)
        return logits


@cache
def small() -> Model:
    torch.manual_seed(0)
    return Model("small", Small(), (torch.zeros(2, 1, 8, 8),))


def sparsities(found: Allocation) -> dict[str, float]:
    return {name: wish.sparsity for name, wish in found.plan.layers.items()}


def removed(problem: Problem, found: Allocation) -> dict[str, int]:
    return {name: int((~mask).sum()) for name, mask in masks_for(problem.model, found.plan).items()}


def by_hand(proportions: dict[str, Fraction], sizes: dict[str, int], density: Fraction) -> dict[str, Fraction]:
    """The published iteration, in fractions: the layer of the largest proportion becomes dense while it passes 1."""
    dense: set[str] = set()
    while True:
        sparse = {name: p for name, p in proportions.items() if name not in dense}
        scale = (density * sum(sizes.values()) - sum(sizes[n] for n in dense)) / sum(
            p * sizes[n] for n, p in sparse.items()
        )
        largest = max(sparse.values())
        if scale * largest <= 1:
            return {name: Fraction(1) if name in dense else scale * p for name, p in proportions.items()}
        dense |= {name for name, p in sparse.items() if p == largest}


SHAPES = {"a": (4, 1, 3, 3), "b": (8, 4, 3, 3), "c": (10, 8)}
SIZES = {name: prod(shape) for name, shape in SHAPES.items()}
ERK = {"a": Fraction(11, 36), "b": Fraction(18, 288), "c": Fraction(18, 80)}  # (4+1+3+3)/36, (8+4+3+3)/288, (10+8)/80
ER = {"a": Fraction(5, 4), "b": Fraction(12, 32), "c": Fraction(18, 80)}  # (4+1)/4, (8+4)/32, (10+8)/80


@pytest.mark.parametrize("sparsity", [0.5, 0.7, 0.9])
@pytest.mark.parametrize(("name", "proportions"), [("erk", ERK), ("erdos_renyi", ER)])
def test_densities_are_those_of_the_papers(name: str, proportions: dict[str, Fraction], sparsity: float) -> None:
    problem = Problem(small())
    found = allocate(name, problem, sparsity=sparsity)
    exact = by_hand(proportions, SIZES, 1 - Fraction(sparsity).limit_denominator(10))
    lost = removed(problem, found)
    for layer, density in exact.items():
        assert abs(SIZES[layer] - lost.get(layer, 0) - density * SIZES[layer]) <= 1
    assert abs(sum(lost.values()) - sparsity * sum(SIZES.values())) <= len(SIZES)  # one block for each layer


def test_erk_at_nine_tenths_by_hand() -> None:
    """404 weights, 40.4 kept: scale = 40.4 / (11 + 18 + 18), so 0.2627, 0.0537 and 0.1934 of the layers."""
    found = densities(SIZES, {name: float(p) for name, p in ERK.items()}, 0.1)
    assert found == pytest.approx({"a": 40.4 / 47 * 11 / 36, "b": 40.4 / 47 * 18 / 288, "c": 40.4 / 47 * 18 / 80})


def test_a_layer_whose_density_would_pass_one_stays_dense() -> None:
    found = allocate("erk", Problem(small()), sparsity=0.5)
    assert sparsities(found).keys() == {"b"}  # a and then c pass 1
    assert found.why_dense["a"] == "a: its share is less than one of its 36 blocks"
    assert sparsities(found)["b"] == 202 / 288
    assert densities({"a": 4}, {"a": 1.0}, 1.0) == {"a": 1.0}


@pytest.mark.parametrize("name", ["global", "lamp", "erk", "erdos_renyi", "uniform"])
@pytest.mark.parametrize("granularity", ["fine_grained", "row"])
def test_overall_sparsity_is_met_within_a_block_for_each_layer(name: str, granularity: str) -> None:
    problem = Problem(small(), wish=LayerPlan(granularity=granularity))
    lost = sum(removed(problem, allocate(name, problem, sparsity=0.6)).values())
    blocks = {"fine_grained": (1, 1, 1), "row": (9, 36, 8)}[granularity]
    assert abs(lost - 0.6 * 404) <= sum(blocks)


@pytest.mark.parametrize("granularity", ["fine_grained", "row", "kernel"])
@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.7])
def test_global_gives_the_masks_of_scope_model(granularity: str, criterion: str, sparsity: float) -> None:
    wish = LayerPlan(granularity=granularity, criterion=criterion)
    problem = Problem(small(), wish=wish)
    plan, _ = uniform_plan(problem.model, wish.model_copy(update={"sparsity": sparsity}), "model")
    wanted = masks_for(problem.model, plan)
    found = allocate("global", problem, sparsity=sparsity)
    assert found.plan.scope == "layer"
    masks = masks_for(problem.model, found.plan)
    for name, mask in wanted.items():
        assert torch.equal(masks.get(name, torch.ones_like(mask)), mask)


def test_global_empties_no_layer() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.full((2, 2), 1e-3)
    large = nn.Linear(2, 9)
    large.weight.data = torch.arange(1.0, 19).reshape(9, 2)
    model = Model("tiny", nn.Sequential(layer, large), (torch.zeros(2, 2),))
    with pytest.raises(PlanError, match="0: ranked with all other layers it would lose all of its 4 blocks; lock it"):
        allocate("global", Problem(model), sparsity=0.5)
    assert removed(Problem(model), allocate("lamp", Problem(model), sparsity=0.5)) == {"1": 11}
    assert removed(Problem(model), allocate("lamp", Problem(model), sparsity=0.9)) == {"0": 3, "1": 17}


def test_lamp_scores_by_hand() -> None:
    """Squares 1, 4, 9, 16: 1/30, 4/29, 9/25, 16/16 (Lee et al. 2021, equation 3)."""
    assert lamp_scores(torch.tensor([9.0, 1.0, 16.0, 4.0])).tolist() == pytest.approx([9 / 25, 1 / 30, 1, 4 / 29])
    assert lamp_scores(torch.zeros(2)).tolist() == [0, 0]
    squares = {"a": torch.tensor([9.0, 1.0, 16.0, 4.0]), "b": torch.tensor([1.0, 1.0])}  # b scores 1/2 and 1
    sizes = {"a": torch.ones(4, dtype=torch.long), "b": torch.full((2,), 2)}
    assert weakest(squares, sizes, 3) == {"a": 3, "b": 0}
    assert weakest(squares, sizes, 5) == {"a": 3, "b": 1}


def test_lamp_is_blind_to_the_scale_of_a_layer() -> None:
    """What the paper's score is for; a global cut by magnitude is not."""
    scaled = Model("scaled", Small(), (torch.zeros(2, 1, 8, 8),))
    scaled.module.load_state_dict(small().module.state_dict())
    with torch.no_grad():
        scaled.module.get_parameter("b.weight").mul_(2)
    lamp, cut = (
        [sparsities(allocate(name, Problem(model), sparsity=0.5)) for model in (small(), scaled)]
        for name in ("lamp", "global")
    )
    assert lamp[0] == lamp[1]
    assert cut[0] != cut[1]


@pytest.mark.parametrize("name", ["global", "lamp", "erk", "erdos_renyi", "uniform"])
def test_what_is_locked_or_set_by_hand_stays(name: str) -> None:
    present = Plan().with_layers({"a": {"sparsity": 0.25, "locked": True}, "c": {"sparsity": 0.1, "criterion": "l2"}})
    problem = Problem(small(), plan=present, overrides=frozenset({"c"}))
    found = allocate(name, problem, sparsity=0.5)
    assert {n: found.plan.layers[n] for n in ("a", "c")} == present.layers
    assert abs(found.plan.layers["b"].sparsity - 0.5) <= 1 / 288
    assert found.why_dense.keys().isdisjoint({"a", "c"})


def test_a_held_layer_that_the_plan_does_not_name_stays_dense() -> None:
    found = allocate("uniform", Problem(small(), overrides=frozenset({"a"})), sparsity=0.5)
    assert set(found.plan.layers) == {"b", "c"}
    wide = allocate("uniform", Problem(small(), overrides=frozenset({"a"}), scope="model"), sparsity=0.5)
    assert "a" not in masks_for(small(), wide.plan)


def test_coupled_channels_have_one_share_and_a_held_layer_holds_its_row() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            logits: Tensor = self.c(x + self.b(x)).mean((2, 3))
            return logits

    model = Model("residual", Residual(), (torch.zeros(2, 1, 4, 4),))
    wish = LayerPlan(granularity="output_channel")
    found = allocate("lamp", Problem(model, wish=wish), sparsity=0.5)
    assert set(found.plan.layers) == {"a"}
    assert found.why_dense["b"] == "b: its channels are coupled with those of 'a', which stands for both"
    held = Problem(model, wish=wish, plan=Plan().with_layer("b", locked=True))
    with pytest.raises(PlanError, match="'residual' has no layer left to choose for; unlock one"):
        allocate("lamp", held, sparsity=0.5)
    assert "stays as it is" in allocate("uniform", held, sparsity=0.5).why_dense["a"]


def test_what_an_allocation_cannot_do_is_refused() -> None:
    pattern = Problem(small(), wish=LayerPlan(granularity="n_m", settings={"n": 2, "m": 4}))
    for name in ("global", "lamp", "erk", "erdos_renyi"):
        with pytest.raises(PlanError, match=f"{name} gives each layer a sparsity of its own, n_m removes"):
            allocate(name, pattern)
        with pytest.raises(PlanError, match=f"b: {name} follows its rule alone; sensitivity and budget take"):
            allocate(name, Problem(small(), maximum={"b": 0.5}))
