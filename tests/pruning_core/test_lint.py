"""Each rule finds what it is for, says the numbers, and its changes mend it."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from pruning_core.apply import masks_for, uniform_plan
from pruning_core.lint import RULES, Finding, lint
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan

PATTERN = {"sparsity": 0.5, "granularity": "n_m", "settings": {"n": 2, "m": 10}}


class Net(nn.Module):
    """Depthwise, residual and plain layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.left, self.right = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 32, 3, padding=1)
        self.wide, self.last = nn.Linear(32, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.left(self.depthwise(self.first(x).relu()).relu()).relu()
        x = (x + self.right(x)).relu().mean((2, 3))
        logits: Tensor = self.last(self.wide(x).relu())
        return logits


class Tied(nn.Module):
    """Two names of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.c(self.b(self.a(x).relu()).relu())
        return logits


@cache
def net() -> Model:
    torch.manual_seed(0)
    return Model("net", Net(), (torch.zeros(2, 1, 8, 8),))


def found(plan: Plan, rule: str, model: Model | None = None) -> list[Finding]:
    return [finding for finding in lint(model or net(), plan) if finding.rule == rule]


def mended(plan: Plan, rule: str, model: Model | None = None) -> None:
    """Apply the changes of a rule's findings: it finds nothing any more, and the plan can be carried out."""
    for finding in found(plan, rule, model):
        assert finding.changes
        plan = plan.with_layers({name: dict(fields) for name, fields in finding.changes.items()})
    assert found(plan, rule, model) == []
    masks_for(model or net(), plan)


def plan(**layers: dict[str, object]) -> Plan:
    return Plan().with_layers(layers)


def test_a_clean_plan_has_no_findings() -> None:
    assert lint(net(), Plan()) == ()
    assert lint(net(), plan(right={"sparsity": 0.5}, wide={"sparsity": 0.5})) == ()
    assert lint(net(), plan(right={"sparsity": 0.0, "locked": True})) == ()


def test_a_first_layer_pruned_hard() -> None:
    hard = plan(first={"sparsity": 0.75})
    (finding,) = found(hard, "first_layer")
    assert finding.layer == "first"
    assert finding.sentence.startswith("the first layer loses 75.0% of its 144 weights, only 0.94% of the model's")
    assert finding.fix == "a sparsity of at most 0.5"
    mended(hard, "first_layer")
    assert found(plan(first={"sparsity": 0.5}), "first_layer") == []
    large = Model("large", nn.Sequential(nn.Linear(100, 10), nn.ReLU(), nn.Linear(10, 3)), (torch.zeros(2, 100),))
    assert found(Plan().with_layer("0", sparsity=0.9), "first_layer", large) == []  # it holds most of the model


def test_a_last_layer_that_is_pruned() -> None:
    pruned = plan(last={"sparsity": 0.3})
    (finding,) = found(pruned, "last_layer")
    assert finding.sentence.startswith("the last layer, which gives the answers, loses 30.0% of its weights; it holds")
    mended(pruned, "last_layer")


@pytest.mark.parametrize(
    ("wish", "is_found"),
    [
        ({"sparsity": 0.2}, True),
        ({"sparsity": 0.25, "granularity": "kernel"}, False),
        ({"sparsity": 0.75, "granularity": "kernel"}, True),
        ({"sparsity": 0.25, "granularity": "output_channel"}, False),
    ],
)
def test_a_depthwise_layer(wish: dict[str, object], is_found: bool) -> None:
    findings = found(plan(depthwise=wish), "depthwise")
    assert bool(findings) == is_found
    if is_found:
        assert "9 weights for each of its 16 channels" in findings[0].sentence
        mended(plan(depthwise=wish), "depthwise")


def test_channels_off_a_multiple_of_eight() -> None:
    wish = {"sparsity": 0.3, "granularity": "output_channel"}
    both = plan(left=wish, right=wish)
    (finding,) = found(both, "channel_multiple")  # one for the coupled row
    assert finding.sentence.startswith(
        "22 of its 32 channels stay, no multiple of 8, and are likely to run no faster than 24"
    )
    assert finding.changes == {"left": {"sparsity": 0.25}, "right": {"sparsity": 0.25}}
    mended(both, "channel_multiple")
    assert found(plan(left={"sparsity": 0.25, "granularity": "output_channel"}), "channel_multiple") == []


@pytest.mark.parametrize(
    ("wish", "sentence", "fix"),
    [
        (
            PATTERN,
            "2:10 needs inputs in groups of 10",
            "m of",
        ),
        ({"sparsity": 0.5, "granularity": "block", "settings": {"rows": 5}}, "blocks of (5, 4) do not tile", "try "),
        ({"sparsity": 1.0}, "sparsity 1 would remove all 4096 blocks", "a lower one keeps some"),
        ({"sparsity": 0.5, "criterion": "wanda"}, "wanda needs calibration data", "l1 and l2 work"),
        ({"sparsity": 0.5, "criterion": "apoz", "granularity": "row"}, "apoz needs calibration data", "l1 and l2 work"),
    ],
)
def test_a_wish_that_does_not_fit(wish: dict[str, object], sentence: str, fix: str) -> None:
    (finding,) = found(plan(wide=wish), "does_not_fit")
    assert sentence in finding.sentence
    assert finding.fix.startswith(fix)
    assert not finding.sentence.startswith("wide")
    mended(plan(wide=wish), "does_not_fit")


def test_wishes_that_conflict_in_a_coupled_row() -> None:
    both = plan(
        left={"sparsity": 0.25, "granularity": "output_channel"},
        right={"sparsity": 0.5, "granularity": "output_channel"},
    )
    (finding,) = found(both, "coupled_wishes")
    assert finding.layer == "right"
    assert finding.sentence == (
        "its channels are coupled with those of 'left', but 0.5 by output_channel and l1 is asked for here, "
        "0.25 by output_channel and l1 there"
    )
    mended(both, "coupled_wishes")
    locked = plan(left={"sparsity": 0.25, "granularity": "output_channel"}, right={"locked": True})
    (finding,) = found(locked, "coupled_wishes")
    assert "'right', which is locked as dense and would lose 25.0% of them all the same" in finding.sentence
    mended(locked, "coupled_wishes")


def test_a_weight_with_two_names() -> None:
    model = Model("tied", Tied(), (torch.zeros(2, 6),))
    (finding,) = found(plan(a={"sparsity": 0.5}), "tied_weights", model)
    assert finding.sentence == "its weight is also 'b.weight', which loses the same 50.0%"
    mended(plan(a={"sparsity": 0.5}), "tied_weights", model)
    assert found(plan(c={"sparsity": 0.25}), "tied_weights", model) == []


def test_a_layer_that_collapses() -> None:
    model = Model(
        "line", nn.Sequential(nn.Linear(4, 40, bias=False), nn.ReLU(), nn.Linear(40, 2)), (torch.zeros(2, 4),)
    )
    with torch.no_grad():
        model.module.get_parameter("0.weight").copy_(torch.arange(160.0, 0, -1).view(40, 4))
    sparse = Plan().with_layer("0", sparsity=0.8)  # the rows are in order, so the last 32 of 40 go
    (finding,) = found(sparse, "collapse", model)
    assert (
        finding.sentence
        == "32 of its 40 outputs keep no weight (32 weights cannot reach all), so what comes out of them is constant"
    )
    assert finding.changes == {"0": {"sparsity": 0.071}}  # two of forty rows, one in twenty, are let go without a word
    mended(sparse, "collapse", model)
    assert found(Plan().with_layer("0", sparsity=0.8, granularity="row"), "collapse", model) == []  # asked for
    assert "(" not in found(Plan().with_layer("0", sparsity=0.5), "collapse", model)[0].sentence


def test_inputs_that_nothing_reads() -> None:
    model = Model("wide", nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 2)), (torch.zeros(2, 10),))
    with torch.no_grad():
        model.module.get_parameter("0.weight").copy_(torch.arange(10.0, 0, -1).repeat(4, 1))
    (finding,) = found(Plan().with_layer("0", sparsity=0.6), "collapse", model)
    assert (finding.sentence, finding.changes) == ("6 of its 10 inputs are read by no output", None)
    assert found(Plan().with_layer("0", sparsity=0.6, granularity="column"), "collapse", model) == []


def test_a_sparsity_below_one_block() -> None:
    tiny = plan(last={"sparsity": 0.02, "granularity": "row"})
    (finding,) = found(tiny, "stays_dense")
    assert finding.sentence == "sparsity 0.02 is less than one of its 10 blocks, so it stays dense"
    assert finding.changes == {"last": {"sparsity": 0.1}}
    mended(tiny, "stays_dense")


def test_findings_come_rule_by_rule_and_every_rule_explains_itself() -> None:
    everywhere, _ = uniform_plan(net(), LayerPlan(sparsity=0.97))
    order = list(RULES)
    rules = [finding.rule for finding in lint(net(), everywhere)]
    assert rules == sorted(rules, key=order.index)
    assert {"first_layer", "last_layer", "depthwise", "collapse"} <= set(rules)
    assert all(rule.__doc__ for rule in RULES.values())
    for finding in lint(net(), everywhere):
        assert finding.sentence
        assert finding.fix
        assert any(character.isdigit() for character in finding.sentence)
