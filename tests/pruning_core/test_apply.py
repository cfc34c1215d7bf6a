"""Apply: the input model stays as it is, tied weights, model-wide ranking, and plans that cannot be carried out."""

import re
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from pruning_core.apply import apply, kept_weights, masks_for, plan_for, uniform_plan
from pruning_core.errors import GranularityError, PlanError, PruningError, UnknownName, WrongModel
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking


class Small(nn.Module):
    """Two layers with known weights; the second is used a third time under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4, bias=False)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.second.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(torch.relu(self.second(self.norm(self.first(x)))))


def fresh() -> Model:
    """first: 1 to 16 in order; second: 100 to 1600."""
    module = Small()
    counted = torch.arange(1, 17).reshape(4, 4)
    module.first.weight.data = counted.float()
    module.second.weight.data = counted * 100.0
    module.first.bias.requires_grad_(False)
    return Model("small", module, (torch.zeros(2, 4),))


small = cache(fresh)  # traced once: nothing changes it, as the first test asserts


def snapshot(model: Model) -> list[object]:
    """All that must not change: bytes of parameters and buffers, gradients wanted, modes, and who is tied."""
    module = model.module
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]
    return [
        *[(name, t.data_ptr(), t.requires_grad, t.detach().numpy().tobytes()) for name, t in tensors],
        *[(name, child.training) for name, child in module.named_modules()],
        torch.is_grad_enabled(),
    ]


def plan_of(model: Model, scope: str = "layer", **wishes: dict[str, object]) -> Plan:
    return plan_for(model, scope=scope).with_layers(wishes)


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_the_input_model_is_unchanged_byte_for_byte(scope: str) -> None:
    model = small()
    before = snapshot(model)
    pruned = apply(plan_of(model, scope, first={"sparsity": 0.5}, second={"sparsity": 0.25}), model)
    assert snapshot(model) == before
    assert pruned.second.weight.data_ptr() != model.module.second.weight.data_ptr()


def test_the_smallest_weights_become_zero_and_the_others_stay() -> None:
    pruned = apply(plan_of(model := small(), first={"sparsity": 0.5}), model)
    assert pruned.first.weight.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [9, 10, 11, 12], [13, 14, 15, 16]]
    assert torch.equal(pruned.first.bias, model.module.first.bias)
    assert torch.equal(pruned.second.weight, model.module.second.weight)


def test_removed_weights_are_plain_zeros() -> None:
    model = fresh()
    model.module.first.weight.data *= -1
    zeros = apply(plan_of(model, first={"sparsity": 0.5}), model).first.weight[:2]
    assert not torch.signbit(zeros).any()


def test_tied_weights_are_masked_once_and_stay_tied() -> None:
    model = small()
    plan = plan_of(model, second={"sparsity": 0.25})
    pruned = apply(plan, model)
    assert pruned.tied.weight is pruned.second.weight
    assert pruned.second.weight[0].tolist() == [0, 0, 0, 0]
    assert int((pruned.second.weight == 0).sum()) == 4
    assert list(masks_for(model, plan)) == ["second"]


def test_scope_model_lets_all_layers_compete() -> None:
    model = small()
    masks = masks_for(model, plan_of(model, "model", first={"sparsity": 0.25}, second={"sparsity": 0.25}))
    assert int((~masks["first"]).sum()) == 8
    assert bool(masks["second"].all())


def test_scope_model_leaves_locked_layers_to_themselves() -> None:
    model = small()
    wishes = {"first": {"sparsity": 0.25}, "second": {"sparsity": 0.25, "locked": True}}
    masks = masks_for(model, plan_of(model, "model", **wishes))
    assert {name: int((~mask).sum()) for name, mask in masks.items()} == {"first": 4, "second": 4}


def test_scope_model_never_empties_a_layer() -> None:
    model = small()
    with pytest.raises(PlanError, match="first: the model-wide ranking would remove all of it; lock it, or lower"):
        masks_for(model, plan_of(model, "model", first={"sparsity": 0.9}, second={"sparsity": 0.6}))


def test_scope_model_refuses_scores_that_cannot_be_compared() -> None:
    model = small()
    wishes = {"first": {"sparsity": 0.5}, "second": {"sparsity": 0.5, "criterion": "l2"}}
    with pytest.raises(PlanError, match="second: scope 'model' ranks all layers together, but it is scored by 'l2'"):
        masks_for(model, plan_of(model, "model", **wishes))


def test_a_locked_layer_keeps_its_own_sparsity_in_scope_layer() -> None:
    model = small()
    masks = masks_for(model, plan_of(model, first={"sparsity": 0.5, "locked": True}))
    assert int(masks["first"].sum()) == 8


@pytest.mark.parametrize("plan", [Plan(), Plan().with_layer("first", sparsity=0.0)])
def test_a_plan_that_removes_nothing_gives_an_equal_copy(plan: Plan) -> None:
    model = small()
    pruned = apply(plan, model)
    assert pruned is not model.module
    assert all(torch.equal(a, b) for a, b in zip(pruned.parameters(), model.module.parameters(), strict=True))
    assert masks_for(model, plan) == {}


def test_kept_weights_come_from_counts_or_from_the_ranking() -> None:
    model = small()
    wishes = {"first": {"sparsity": 0.25}, "second": {"sparsity": 0.25}}
    ranking = Ranking(model)
    assert kept_weights(model, plan_of(model, **wishes), ranking) == {"first": 12, "second": 12}
    assert kept_weights(model, plan_of(model, "model", **wishes), ranking) == {"first": 8, "second": 16}


def test_a_plan_of_another_model_is_refused() -> None:
    other = fresh()
    other.module.first.weight.data[0, 0] += 1
    with pytest.raises(WrongModel, match="the plan was made for 'small' with other weights than 'small'"):
        apply(plan_of(other, first={"sparsity": 0.5}), small())


REFUSALS: list[tuple[type[PruningError], str, dict[str, dict[str, object]]]] = [
    (UnknownName, "the model has no prunable layer 'frist'; did you mean 'first'?", {"frist": {"sparsity": 0.5}}),
    (
        UnknownName,
        "'tied' has the weight of 'second' and is pruned with it; name",
        {"tied": {"sparsity": 0.5}},
    ),
    (UnknownName, "unknown criterion 'tailor'; did you mean 'taylor'?", {"first": {"criterion": "tailor"}}),
    (UnknownName, "unknown granularity 'colum'; did you mean 'column'?", {"first": {"granularity": "colum"}}),
    (UnknownName, "unknown setting 'rows'", {"first": {"settings": {"rows": 2}}}),
    (PlanError, "sparsity 1 would remove all 16 blocks", {"first": {"sparsity": 1.0}}),
    (PlanError, "first: sparsity 0.9 would remove all 4 blocks", {"first": {"sparsity": 0.9, "granularity": "row"}}),
    (
        GranularityError,
        "first: 2:8 needs inputs in groups of 8",
        {"first": {"granularity": "n_m", "settings": {"m": 8}}},
    ),
    (PlanError, "2:4 removes 0 or 0.5; sparsity 0.3 is not", {"first": {"granularity": "n_m", "sparsity": 0.3}}),
    (GranularityError, "do not tile", {"first": {"granularity": "block", "settings": {"rows": 3}}}),
    (GranularityError, "first: a weight without kernel positions", {"first": {"granularity": "kernel"}}),
]


@pytest.mark.parametrize(("kind", "reason", "wishes"), REFUSALS)
def test_a_plan_that_does_not_fit_is_refused(
    kind: type[PruningError], reason: str, wishes: dict[str, dict[str, object]]
) -> None:
    model = small()
    with pytest.raises(kind, match=re.escape(reason)):
        apply(plan_of(model, **wishes), model)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_sparsity_outside_0_to_1_is_no_plan(sparsity: float) -> None:
    with pytest.raises(PlanError, match="sparsity"):
        Plan().with_layer("first", sparsity=sparsity)


def test_a_uniform_plan_says_which_layers_stay_dense() -> None:
    module = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    model = Model("two", module, (torch.zeros(2, 8),))
    plan, why_dense = uniform_plan(model, LayerPlan(sparsity=0.5, granularity="n_m", settings={"n": 4, "m": 8}))
    assert list(plan.layers) == ["0"]
    assert list(why_dense) == ["1"]
    assert "groups of 8" in why_dense["1"]


def test_a_uniform_plan_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(PlanError, match="first: sparsity 1 would remove all"):
        uniform_plan(small(), LayerPlan(sparsity=1.0))
