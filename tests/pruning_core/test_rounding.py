"""Widths rounded up to a multiple of channels: exact counts on rows made by hand, and the widths of whole models."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.apply import changes_for
from pruning_core.lint import lint
from pruning_core.ranking import Ranking
from pruning_core.ranking.widths import Widths
from pruning_core.sensitivity import Request, sweep
from pruning_core.slimming import slim_graph


def widths(*channels: list[int], fixed: tuple[int, ...] | None = None) -> Widths:
    return Widths(torch.tensor(channels), torch.tensor(fixed or (0,) * len(channels)))


def kept(found: Widths, n: int, multiple: int) -> list[int]:
    """The units that stay of those wished for, 0 to n - 1; a unit's number is its rank."""
    ranks = torch.arange(found.channels.shape[1])
    return found.rounded(ranks < n, ranks, multiple).nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("n", "multiple", "count"), [(5, 1, 5), (5, 4, 8), (8, 4, 8), (9, 4, 10), (1, 3, 3), (7, 64, 10)]
)
def test_single_channels_are_rounded_up_and_never_beyond_all(n: int, multiple: int, count: int) -> None:
    assert kept(widths([1] * 10), n, multiple) == list(range(count))


def test_channels_count_and_not_units() -> None:
    assert kept(widths([2] * 10), 3, 8) == [0, 1, 2, 3]
    assert kept(widths([16] * 10), 3, 8) == [0, 1, 2]


def test_channels_that_cannot_go_count() -> None:
    assert kept(widths([1] * 10, fixed=(3,)), 4, 4) == [0, 1, 2, 3, 4]


def test_all_widths_of_a_row_become_multiples() -> None:
    assert kept(widths([1] * 12, [2] * 12), 1, 4) == [0, 1, 2, 3]
    assert kept(widths([1] * 12, [3] * 12), 5, 2) == [0, 1, 2, 3, 4, 5]


def test_members_that_not_every_unit_passes_are_rounded_each() -> None:
    found = widths([1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1])
    assert not found.are_alike
    assert kept(found, 5, 2) == [0, 1, 2, 3, 4, 5]  # the first layer keeps 4, the second 1 and so 2
    overlapping = widths([1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1])
    assert kept(overlapping, 3, 2) == [0, 1, 2, 3, 4, 5]


def test_the_best_of_the_others_are_added() -> None:
    found = widths([1, 1, 1, 1])
    keep, ranks = torch.tensor([True, False, False, False]), torch.tensor([0, 3, 1, 2])
    assert found.rounded(keep, ranks, 2).tolist() == [True, False, True, False]
    assert keep.tolist() == [True, False, False, False]


@cache
def sample(name: str) -> pc.Model:
    return pc.load_model(name)


def test_a_width_that_is_right_stays_so_where_another_unit_does() -> None:
    found, ranks = widths([1, 1, 1, 1], [2, 0, 1, 0]), torch.tensor([0, 2, 1, 3])
    assert found.rounded(ranks < 1, ranks, 2).tolist() == [True, True, False, False]


def test_each_kind_of_a_row_keeps_its_best_in_place_of_the_weakest_other() -> None:
    found, ranks = widths([1, 1, 1, 1, 1], [0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 4, 3])
    assert found.kinds.tolist() in ([0, 0, 0, 1, 1], [1, 1, 1, 0, 0])
    assert found.spared(ranks < 3, ranks).tolist() == [True, True, False, False, True]
    assert found.spared(ranks < 4, ranks).tolist() == [True, True, True, False, True]
    assert found.spared(ranks < 1, ranks).tolist() == [True, False, False, False, False]  # one is not enough for two
    assert widths([1] * 5).spared(ranks < 3, ranks).tolist() == (ranks < 3).tolist()


class Halves(nn.Module):
    """What one layer makes is read by halves, each by a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = nn.Linear(4, 12), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).relu().chunk(2, 1)
        total: Tensor = self.left(left) + self.right(right)
        return total


def halves() -> pc.Model:
    torch.manual_seed(0)
    net = Halves()
    with torch.no_grad():
        net.first.weight[:6] *= 100
    return pc.Model("halves", net, (torch.randn(2, 4),))


def test_halves_that_are_read_apart_keep_one_each() -> None:
    model = halves()
    mask = Ranking(model).mask("first", channels(0.7)).any(1)
    assert (int(mask[:6].sum()), int(mask[6:].sum())) == (3, 1)
    plan = pc.plan_for(model).with_layer("first", **channels(0.7).model_dump())
    assert slimmed_shapes(model, plan)["right.weight"] == (3, 1)
    with pytest.raises(pc.PruningError, match="first: nothing would be left of"):
        pc.masks_for(model, plan.with_layer("first", sparsity=0.9))


def test_a_sweep_leaves_out_the_levels_that_would_empty_something() -> None:
    model = halves()
    data = pc.EvalData("noise", "validation", np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), None)
    request = Request("output_channel", levels=(0.5, 0.9), layers=("first",))
    assert [cell.sparsity for cell in sweep(model, data, request).cells] == [0.5]
    with pytest.raises(pc.PruningError, match="first: nothing would be left of"):
        sweep(model, data, replace(request, levels=(0.9,)))


def grouped() -> pc.Model:
    """A convolution in four groups: a unit is a whole group, four channels of it and of what it reads."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=4), nn.ReLU(), nn.Conv2d(16, 5, 1))
    return pc.Model("grouped", net, (torch.randn(2, 3, 5, 5),))


def small() -> pc.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))
    return pc.Model("small", net, (torch.randn(2, 4),))


def channels(sparsity: float, **fields: object) -> pc.LayerPlan:
    return pc.LayerPlan(sparsity=sparsity, granularity="output_channel", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("sparsity", "multiple", "count"), [(0.5, 4, 8), (0.5, 1, 6), (0.7, 4, 4), (0.0, 5, 12)])
def test_the_ranking_counts_and_masks_what_is_rounded(sparsity: float, multiple: int, count: int) -> None:
    model = small()
    ranking = Ranking(model).under(pc.Plan(channel_multiple=multiple))
    assert ranking.n_keep("0", channels(sparsity)) == count
    assert int(ranking.mask("0", channels(sparsity)).any(1).sum()) == count
    norms = model.graph.weight("0").abs().sum(1)
    assert ranking.mask("0", channels(sparsity)).any(1).tolist() == (norms >= norms.sort().values[-count]).tolist()


def test_other_granularities_are_not_rounded() -> None:
    ranking = Ranking(small()).under(pc.Plan(channel_multiple=8))
    assert ranking.n_keep("0", pc.LayerPlan(sparsity=0.5, granularity="row")) == 6
    assert ranking.n_keep("0", pc.LayerPlan(sparsity=0.5)) == 24


def test_input_channels_are_rounded_with_what_makes_them() -> None:
    model = small()
    plan = pc.plan_for(model, channel_multiple=4).with_layer("2", sparsity=0.6, granularity="input_channel")
    assert slimmed_shapes(model, plan)["0.weight"] == (8, 4)
    assert slimmed_shapes(model, plan)["2.weight"] == (6, 8)


def slimmed_shapes(model: pc.Model, plan: pc.Plan) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in pc.slim(plan, model).graph.named_parameters()}


@pytest.mark.parametrize(("sparsity", "multiple", "width"), [(0.3, 4, 12), (0.3, 8, 16), (0.5, 8, 8), (0.7, 8, 8)])
def test_grouped_convolutions_keep_multiples_of_channels(sparsity: float, multiple: int, width: int) -> None:
    model = grouped()  # four groups of four channels, of which whole ones go
    ranking = Ranking(model).under(pc.Plan(channel_multiple=multiple))
    assert ranking.n_keep("0", channels(sparsity)) == width // 4
    plan, _ = pc.uniform_plan(model, channels(sparsity), ranking=ranking)
    if width < 16:
        shapes = slimmed_shapes(model, plan)
        assert (shapes["0.weight"][0], shapes["2.weight"][0], shapes["4.weight"][1]) == (width, width, width)


def test_a_reader_in_groups_counts_the_inputs_of_all_groups() -> None:
    torch.manual_seed(0)  # two groups of eight: a unit is one channel of each
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 5, 1))
    ranking = Ranking(pc.Model("two groups", net, (torch.randn(2, 3, 5, 5),))).under(pc.Plan(channel_multiple=4))
    assert len(ranking.units("0", channels(0.0)).groups) == 8  # type: ignore[union-attr]
    assert [ranking.n_keep("0", channels(sparsity)) for sparsity in (0.2, 0.4, 0.6)] == [6, 6, 4]


def test_the_count_is_that_of_the_mask_where_layers_read_different_units() -> None:
    ranking = Ranking(pc.Model("halves", Halves(), (torch.randn(2, 4),))).under(pc.Plan(channel_multiple=4))
    for sparsity in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        kept = ranking.mask("first", channels(sparsity)).any(1)
        assert ranking.n_keep("first", channels(sparsity)) == int(kept.sum())
        assert {int(half.sum()) for half in kept.split(6)} <= {4, 6}


@pytest.mark.parametrize(
    ("name", "multiple", "scope"),
    [
        ("resnet_fashion", 8, "layer"),
        ("resnet_fashion", 8, "model"),
        ("resnet_fashion", 3, "layer"),
        ("mobilenet_fashion", 8, "layer"),
    ],
)
def test_every_width_of_a_slimmed_model_is_a_multiple(name: str, multiple: int, scope: str) -> None:
    model = sample(name)
    ranking = Ranking(model).under(pc.Plan(channel_multiple=multiple))
    plan, _ = pc.uniform_plan(model, channels(0.45 if scope == "layer" else 0.2), scope, ranking)
    assert plan.channel_multiple == multiple
    change, dense = changes_for(model, plan, ranking=ranking), dict(model.module.named_parameters())
    graph = slim_graph(ranking.coupling, torch.tensor(sorted(change.removed)).numpy())
    n_thin = 0
    for parameter, tensor in graph.named_parameters():
        for size, before in zip(tensor.shape[:2], dense[parameter].shape[:2], strict=True) if tensor.dim() > 1 else ():
            assert size % multiple == 0 or size == before, parameter
            n_thin += size < before
    assert n_thin > 4


def test_a_row_below_the_multiple_stays_whole_and_is_told() -> None:
    model = small()
    plan = pc.plan_for(model, channel_multiple=8).with_layers({n: channels(0.5).model_dump() for n in ("0", "2")})
    (finding,) = [found for found in lint(model, plan) if found.rule == "stays_dense"]
    assert finding.layer == "2"
    assert finding.sentence == "rounded up to a multiple of 8 channels it keeps all, so it stays dense"
    assert list(pc.masks_for(model, plan)) == ["0", "2", "0.bias"]  # the second loses the inputs of the first alone
    assert pc.Workbench(model, plan=plan).exact().kept == {"0": 32, "2": 48, "4": 18}


def test_lint_reads_the_multiple_of_the_plan() -> None:
    model = small()

    def sentences(multiple: int, sparsity: float) -> list[str]:
        plan = pc.plan_for(model, channel_multiple=multiple).with_layer("0", **channels(sparsity).model_dump())
        return [found.sentence for found in lint(model, plan) if found.rule == "channel_multiple"]

    assert sentences(1, 0.5) == []  # of 12 channels no multiple of 8 is all
    assert sentences(4, 0.5) == sentences(3, 0.5) == []  # rounded already
    torch.manual_seed(0)
    model = pc.Model("wide", nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 3)), (torch.randn(2, 4),))
    assert [sentence.split(",")[0] for sentence in sentences(1, 0.7)] == ["5 of its 16 channels stay"]
    assert sentences(8, 0.7) == sentences(2, 0.7) == []


def test_a_plan_keeps_its_options_as_json_and_old_plans_are_read() -> None:
    plan = pc.Plan(channel_multiple=8, through_norms=True, heads="dimension")
    assert pc.Plan.from_json(plan.to_json()) == plan
    assert pc.Plan.from_json('{"version": 1, "layers": {}}') == pc.Plan()
    assert (pc.Plan().channel_multiple, pc.Plan().through_norms, pc.Plan().heads) == (1, False, "head")
    with pytest.raises(pc.PruningError, match="channel_multiple: input should be greater than or equal to 1, got 0"):
        pc.Plan.from_json('{"channel_multiple": 0}')
    with pytest.raises(pc.PruningError, match="heads: input should be 'head' or 'dimension', got 'both'"):
        pc.Plan.from_json('{"heads": "both"}')


def test_rankings_of_other_options_share_what_does_not_depend_on_them() -> None:
    ranking = Ranking(small())
    rounded = ranking.under(pc.Plan(channel_multiple=4))
    assert ranking.under(pc.Plan()) is ranking is rounded.under(pc.Plan())
    assert rounded is ranking.under(pc.Plan(channel_multiple=4)) is not ranking
    wish = channels(0.5)
    assert ranking.scores("0", wish) is rounded.scores("0", wish)
    through = ranking.under(pc.Plan(through_norms=True))
    assert through.scores("0", wish) is not ranking.scores("0", wish)
    assert through.calibration is ranking.calibration
