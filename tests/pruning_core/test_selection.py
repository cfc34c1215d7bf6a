"""Selections: a threshold becomes the sparsity whose mask is the threshold's own, exactly; parity with libraries."""

import re
from math import inf, nan

import pytest
import torch
import torch.nn.utils.prune as prune
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core import masks
from pruning_core.errors import CriterionError, GranularityError, PlanError, PruningError, UnknownName
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking
from pruning_core.selection import SELECTIONS, per_weight, select

NAMES = ("conv", "fc1", "fc2")
unhurried = settings(deadline=None, max_examples=60)


class Net(nn.Module):
    """A convolution and two linear layers of different spread."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc1, self.fc2 = nn.Conv2d(2, 4, 3), nn.Linear(4, 8), nn.Linear(8, 6)
        self.fc1.weight.data *= 3

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc2(torch.relu(self.fc1(torch.relu(self.conv(x)).mean((2, 3)))))
        return logits


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    return Ranking(Model("net", Net().eval(), (torch.zeros(1, 2, 5, 5),)))


def wishes(names: tuple[str, ...] = NAMES, **fields: object) -> dict[str, LayerPlan]:
    return dict.fromkeys(names, LayerPlan.model_validate(fields))


def found(ranking: Ranking, name: str, value: float, **fields: object) -> dict[str, Tensor]:
    """The masks that a selection gives."""
    return {layer: ranking.mask(layer, wish) for layer, wish in select(name, ranking, wishes(**fields), value).items()}


@pytest.mark.parametrize("member", SELECTIONS.values(), ids=SELECTIONS)
def test_a_member_says_what_it_is_with_its_source_and_takes_one_number(member: object) -> None:
    assert re.search(r"(19|20)\d\d, arXiv:\d{4}\.\d{4,5}\)\.$", member.doc)
    assert member.label
    assert member.unit
    assert member.value.check(member.value.default) == member.value.default


@pytest.mark.parametrize("value", [0.0, 0.125, 0.5, 0.9])
def test_by_sparsity_every_layer_loses_the_same_share(ranking: Ranking, value: float) -> None:
    assert [w.sparsity for w in select("sparsity", ranking, wishes(), value).values()] == [value] * 3


def test_by_sparsity_takes_what_the_granularity_allows(ranking: Ranking) -> None:
    chosen = select("sparsity", ranking, wishes(("fc1",), granularity="n_m"), 0.5)
    assert int(ranking.mask("fc1", chosen["fc1"]).sum()) == 16
    with pytest.raises(PlanError, match=r"^fc1: 2:4 removes 0 or 0\.5; sparsity 0\.3 is not possible"):
        select("sparsity", ranking, wishes(("fc1",), granularity="n_m"), 0.3)


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.1, 0.17])
def test_a_threshold_keeps_the_weights_that_reach_it(ranking: Ranking, threshold: float) -> None:
    for name, mask in found(ranking, "threshold", threshold).items():
        assert torch.equal(mask, ranking.model.graph.weight(name).abs().double() >= threshold)


def test_a_threshold_on_a_weight_itself_keeps_that_weight(ranking: Ranking) -> None:
    weight = ranking.model.graph.weight("fc2").abs()
    bound = weight.flatten().sort().values[20].item()
    mask = found(ranking, "threshold", bound)["fc2"]
    assert int((~mask).sum()) == 20
    assert torch.equal(mask, weight >= bound)


@pytest.mark.parametrize("granularity", ["row", "column", "kernel", "vector"])
def test_blocks_are_compared_by_score_per_weight(ranking: Ranking, granularity: str) -> None:
    mask = select("threshold", ranking, wishes(("conv",), granularity=granularity), 0.12)["conv"]
    means = {
        "row": lambda w: w.mean((1, 2, 3), keepdim=True),
        "column": lambda w: w.mean(0, keepdim=True),
        "kernel": lambda w: w.mean((2, 3), keepdim=True),
        "vector": lambda w: w.mean(3, keepdim=True),
    }[granularity](ranking.model.graph.weight("conv").abs())
    assert 0 < mask.sparsity < 1
    assert torch.equal(ranking.mask("conv", mask), (means >= 0.12).expand(4, 2, 3, 3))


@pytest.fixture(scope="module")
def row_of_twelve() -> Model:
    return Model("ties", nn.Sequential(nn.Linear(12, 1, bias=False)).eval(), (torch.zeros(1, 12),))


@unhurried
@given(values=st.lists(st.integers(0, 4), min_size=12, max_size=12), bound=st.sampled_from([0.5, 1, 2, 2.5, 3, 4]))
def test_equal_weights_lie_on_one_side_of_a_threshold_together(
    row_of_twelve: Model, values: list[int], bound: float
) -> None:
    row_of_twelve.module[0].weight.data.copy_(torch.tensor([values]))
    known = Ranking(row_of_twelve)
    if max(values) < bound:
        with pytest.raises(PlanError, match="would remove all"):
            select("threshold", known, wishes(("0",)), bound)
        return
    wish = select("threshold", known, wishes(("0",)), bound)["0"]
    assert known.mask("0", wish).tolist() == [[value >= bound for value in values]]


@unhurried
@given(n=st.integers(1, 1 << 40), data=st.data())
def test_the_share_of_a_count_rounds_to_that_count(n: int, data: st.DataObject) -> None:
    removed = data.draw(st.integers(0, n))
    assert masks.n_removed(removed / n, n) == removed


@pytest.mark.parametrize("deviations", [0.1, 0.5, 1.0, 1.3])
@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_distiller_sensitivity_pruner(ranking: Ranking, criterion: str, deviations: float) -> None:
    """Distiller keeps |w| > s * std(w), the deviation of a sample; at the threshold itself we keep the weight."""
    ours = found(ranking, "standard_deviations", deviations, criterion=criterion)
    for name, mask in ours.items():
        weight = ranking.model.graph.weight(name)
        threshold = weight.std().item() * deviations
        assert torch.equal(mask, weight.abs() > threshold)
        assert 0 < mask.float().mean() < 1


def test_deviations_of_blocks_are_compared_with_their_mean_or_root_mean_square(ranking: Ranking) -> None:
    weight = ranking.model.graph.weight("fc1")
    bound = 0.95 * weight.std()
    rows = {"l1": weight.abs().mean(1), "l2": weight.square().mean(1).sqrt()}
    for criterion, values in rows.items():
        wish = wishes(("fc1",), granularity="row", criterion=criterion)
        chosen = select("standard_deviations", ranking, wish, 0.95)["fc1"]
        assert chosen.sparsity == int((values < bound).sum()) / 8
        assert 0 < chosen.sparsity < 1


class Sum(nn.Module):
    """Two layers of other widths and spreads whose outputs are added, and a skipped layer after them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.narrow, self.wide = nn.Linear(3, 8), nn.Linear(6, 8)
        self.skipped, self.out = nn.Linear(8, 8), nn.Linear(8, 2)
        self.wide.weight.data *= 4
        self.out.weight.data[1] *= 9

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.narrow(x[:, :3]) + self.wide(x))
        logits: Tensor = self.out(x + torch.relu(self.skipped(x)))
        return logits


@pytest.fixture(scope="module")
def coupled() -> Ranking:
    return Ranking(Model("sum", Sum().eval(), (torch.zeros(1, 6),)))


def together(ranking: Ranking) -> Tensor:
    """All that a channel of the sum goes with, (8, 3 + 6 + 8)."""
    return torch.cat([ranking.model.graph.weight(name) for name in ("narrow", "wide", "skipped")], dim=1)


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("deviations", [0.6, 0.7, 0.8])
def test_coupled_layers_have_the_deviation_of_all_their_weights(
    coupled: Ranking, criterion: str, deviations: float
) -> None:
    weights, wish = together(coupled), wishes(("narrow",), granularity="output_channel", criterion=criterion)
    means = weights.abs().mean(1) if criterion == "l1" else weights.square().mean(1).sqrt()
    expected = means < deviations * (1 if criterion == "l1" else 1.4) * weights.std()
    value = deviations * (1 if criterion == "l1" else 1.4)
    wish = select("standard_deviations", coupled, wish, value)["narrow"]
    assert 0 < wish.sparsity < 1
    assert torch.equal(coupled.mask("wide", wish).any(1), ~expected)


@pytest.mark.parametrize("threshold", [0.35, 0.45])
def test_a_channel_of_several_layers_counts_with_the_mean_of_all_its_weights(
    coupled: Ranking, threshold: float
) -> None:
    means = together(coupled).abs().mean(1)
    wish = select("threshold", coupled, wishes(("wide",), granularity="output_channel"), threshold)["wide"]
    assert 0 < wish.sparsity < 1
    assert torch.equal(coupled.mask("narrow", wish).any(1), means >= threshold)


def test_ranked_together_coupled_channels_stand_where_their_weights_do(coupled: Ranking) -> None:
    """A channel of three layers competes with single rows by the mean of its weights, not by a third of it."""
    given = wishes(("narrow",), granularity="output_channel") | wishes(("out",), granularity="row")
    means = {"narrow": together(coupled).abs().mean(1), "out": coupled.model.graph.weight("out").abs().mean(1)}
    removed = coupled.removed_up_to(given)
    order = torch.cat([means["narrow"], means["out"]]).argsort()
    assert torch.equal(removed.argsort(), order)
    chosen = select("global_threshold", coupled, given, 0.5)
    counts = {name: round(wish.sparsity * len(means[name])) for name, wish in chosen.items()}
    sizes = torch.tensor([17] * 8 + [8] * 2)
    gone = order[sizes[order].cumsum(0) <= round(0.5 * sizes.sum().item())]
    assert counts == {"narrow": int((gone < 8).sum()), "out": int((gone >= 8).sum())}


@pytest.mark.parametrize(("threshold", "sparsity"), [(0.0, 0.0), (9.0, 1.0)])
def test_a_branch_may_go_as_a_whole(coupled: Ranking, threshold: float, sparsity: float) -> None:
    wish = wishes(("skipped",), granularity="layer")
    assert select("threshold", coupled, wish, threshold)["skipped"].sparsity == sparsity
    given = wish | wishes(("narrow",))
    assert select("global_threshold", coupled, given, 0.99)["skipped"].sparsity in (0.0, 1.0)


def test_a_single_weight_has_no_deviation_and_stays() -> None:
    known = Ranking(Model("one", nn.Sequential(nn.Linear(1, 1)).eval(), (torch.zeros(1, 1),)))
    assert select("standard_deviations", known, wishes(("0",)), 2.0)["0"].sparsity == 0


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.333, 0.5, 0.7])
def test_torch_global_unstructured(ranking: Ranking, sparsity: float) -> None:
    """torch may empty a whole layer; we refuse that."""
    net = Net()
    parameters = [(net.get_submodule(name), "weight") for name in NAMES]
    prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=sparsity)
    for name, mask in found(ranking, "global_threshold", sparsity).items():
        assert torch.equal(mask, net.get_submodule(name).weight_mask.bool())


def test_a_global_threshold_is_one_threshold(ranking: Ranking) -> None:
    chosen = found(ranking, "global_threshold", 0.5, granularity="row")
    means = {name: ranking.model.graph.weight(name).abs().flatten(1).mean(1) for name in NAMES}
    rows = {name: mask.flatten(1).all(1) for name, mask in chosen.items()}
    kept = torch.cat([means[name][rows[name]] for name in NAMES])
    gone = torch.cat([means[name][~rows[name]] for name in NAMES])
    assert len(gone)
    assert gone.max() < kept.min()
    removed, total = (sum(int(f(mask)) for mask in chosen.values()) for f in (lambda m: (~m).sum(), Tensor.numel))
    assert 0 <= total * 0.5 - removed < 18  # the largest row


def test_among_equals_of_a_global_threshold_the_later_go_first() -> None:
    net = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False)).eval()
    for layer in net:
        nn.init.ones_(layer.weight)
    known = Ranking(Model("equal", net, (torch.zeros(1, 4),)))
    chosen = select("global_threshold", known, wishes(("0", "1")), 6 / 16)
    assert {name: wish.sparsity for name, wish in chosen.items()} == {"0": 0.0, "1": 0.75}
    assert known.mask("1", chosen["1"]).flatten().tolist() == [True, True] + [False] * 6
    with pytest.raises(PlanError, match=r"^1: a common threshold would remove all of it; lock it, or lower"):
        select("global_threshold", known, wishes(("0", "1")), 0.5)


@pytest.mark.parametrize("name", SELECTIONS)
def test_locked_layers_keep_their_wish_and_the_input_is_not_changed(ranking: Ranking, name: str) -> None:
    given = wishes() | {"fc1": LayerPlan(sparsity=0.25, locked=True, criterion="random")}
    before = dict(given)
    chosen = select(name, ranking, given, 0.1)
    assert list(chosen) == list(NAMES)
    assert chosen["fc1"] is given["fc1"]
    assert given == before
    alone = select(name, ranking, wishes(("conv", "fc2")), 0.1)
    assert {layer: chosen[layer] for layer in alone} == alone


@pytest.mark.parametrize("name", SELECTIONS)
def test_nothing_chosen_is_nothing(ranking: Ranking, name: str) -> None:
    assert select(name, ranking, {}, 0.1) == {}


def test_unequal_blocks_are_divided_by_their_mean_size_so_that_the_order_stays() -> None:
    class Layout:
        arena, n_arenas, blocks_per_arena, steps = None, 1, 3, None
        block_sizes, weights_per_score = torch.tensor([1, 2, 6]), 3.0

    class Units(Ranking):
        def __init__(self) -> None:
            pass

        def layout(self, name: str, wish: LayerPlan) -> Layout:
            return Layout()

        def scores(self, name: str, wish: LayerPlan) -> Tensor:
            return torch.tensor([[3.0, 4.5, 6.0]])

        def n_keep(self, name: str, wish: LayerPlan) -> int:
            return 3 - masks.n_removed(wish.sparsity, 3)

    assert per_weight(Units(), "x", LayerPlan()).tolist() == [1.0, 1.5, 2.0]
    assert select("threshold", Units(), wishes(("x",)), 1.2)["x"].sparsity == 1 / 3
    budget = {0.05: 0.0, 1 / 9: 1 / 3, 0.25: 1 / 3, 3 / 9: 2 / 3}  # of 9 weights the units hold 1, 2 and 6
    for share, sparsity in budget.items():
        assert select("global_threshold", Units(), wishes(("x",)), share)["x"].sparsity == sparsity


REFUSALS: list[tuple[str, dict[str, object], float, type[PruningError], str]] = [
    ("treshold", {}, 0.1, UnknownName, "unknown selection 'treshold'; did you mean 'threshold'?"),
    ("sparsity", {}, 1.5, PlanError, "setting 'sparsity' is 1.5; it takes a number from 0 to 1"),
    ("sparsity", {}, 1.0, PlanError, "conv: sparsity 1 would remove all 72 blocks"),
    ("threshold", {}, nan, PlanError, "setting 'threshold' is nan"),
    ("threshold", {}, inf, PlanError, "setting 'threshold' is inf"),
    ("threshold", {}, 0.3, PlanError, "conv: the threshold 0.3 would remove all 72 blocks; at most 0.2"),
    ("standard_deviations", {"criterion": "random"}, 1, CriterionError, "conv: standard deviations bound magnitudes"),
    ("standard_deviations", {}, -1, PlanError, "setting 'deviations' is -1"),
    ("global_threshold", {}, 0.99999, PlanError, "conv: a common threshold would remove all of it; lock it"),
]


@pytest.mark.parametrize(("name", "wish", "value", "error", "words"), REFUSALS, ids=[words for *_, words in REFUSALS])
def test_refusals(
    ranking: Ranking, name: str, wish: dict[str, object], value: float, error: type[PruningError], words: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(words)}"):
        select(name, ranking, wishes(**wish), value)


@pytest.mark.parametrize("name", [name for name in SELECTIONS if name != "sparsity"])
@pytest.mark.parametrize(("layer", "granularity", "label"), [("fc1", "n_m", "2:4"), ("conv", "pattern", "Pattern")])
def test_no_threshold_gives_small_arenas_the_same_count(
    ranking: Ranking, name: str, layer: str, granularity: str, label: str
) -> None:
    with pytest.raises(GranularityError, match=f"^{layer}: {label} removes the same count from every [49], so no thr"):
        select(name, ranking, wishes((layer,), granularity=granularity), 0.1)


def test_a_global_threshold_needs_one_criterion(ranking: Ranking) -> None:
    given = wishes() | {"fc2": LayerPlan(criterion="l2")}
    with pytest.raises(PlanError, match=r"^fc2: one threshold for all needs one criterion, but it is scored by 'l2'"):
        select("global_threshold", ranking, given, 0.5)
