"""Contract of every criterion, exact scores, refusals."""

import re
from math import prod, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core import masks
from pruning_core.criteria import CRITERIA, STATISTICS, Criterion, LayerStatistics, criterion, split_settings
from pruning_core.errors import CriterionError, PlanError, UnknownName
from pruning_core.granularities import GRANULARITIES

MEMBERS = [pytest.param(member, id=name) for name, member in CRITERIA.items()]
SHAPES = [(6, 4), (6, 4, 3), (6, 4, 3, 3), (4, 2, 2, 2, 2)]
ROWS = GRANULARITIES["row"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statistics_of(shape: tuple[int, ...], seed: int = 1) -> LayerStatistics:
    """Every statistic, in the shape it has for a weight of `shape`."""
    columns = noise(2, prod(shape[1:]), 100, seed=seed).double()[: 2 - shape[0] % 4 // 2]  # two groups where out is 4
    outputs = noise(shape[0], 100, seed=seed).double()
    return LayerStatistics(
        layer="layer",
        input_norm=noise(1, *shape[1:], seed=seed).abs(),
        inputs_gram=columns @ columns.transpose(1, 2),
        gradient=noise(*shape, seed=seed + 1),
        gradient_magnitude=noise(*shape, seed=seed + 5).abs(),
        gradient_square=noise(*shape, seed=seed + 6).square(),
        first_gradient=noise(*shape, seed=seed + 7),
        activation_gradient=noise(shape[0], seed=seed + 8).abs(),
        activation_zeros=noise(shape[0], seed=seed + 2).sigmoid(),
        activation_mean=noise(shape[0], seed=seed + 3).abs(),
        output_mean=outputs.mean(1),
        output_covariance=outputs.cov(correction=0),
        ablation=noise(shape[0], seed=seed + 9),
        bn_scale=noise(shape[0], seed=seed + 4),
        n=10,
    )


def dead_statistics_of(shape: tuple[int, ...]) -> LayerStatistics:
    """Every statistic of a layer that read and gave zeros alone."""
    per_output, columns = torch.zeros(shape[0]), prod(shape[1:])
    return LayerStatistics(
        input_norm=torch.zeros(1, *shape[1:]),
        inputs_gram=torch.zeros(1, columns, columns, dtype=torch.float64),
        gradient=torch.zeros(shape),
        gradient_magnitude=torch.zeros(shape),
        gradient_square=torch.zeros(shape),
        first_gradient=torch.zeros(shape),
        activation_gradient=per_output,
        activation_zeros=per_output + 1,
        activation_mean=per_output,
        output_mean=per_output.double(),
        output_covariance=torch.zeros(shape[0], shape[0], dtype=torch.float64),
        ablation=per_output,
        bn_scale=per_output,
    )


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_says_its_formula_and_its_source_in_one_line(member: Criterion) -> None:
    assert re.search(r"(19|20)\d\d, (arXiv:\d{4}\.\d{4,5}|doi:10\.\d+/\S+)\)\.$", member.doc)
    assert member.label
    assert member.needs <= STATISTICS.keys()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("member", MEMBERS)
def test_scores_are_finite_repeatable_and_shaped_as_the_weight(member: Criterion, shape: tuple[int, ...]) -> None:
    weight, stats = noise(*shape), statistics_of(shape)
    scores = member.score(weight, stats)
    assert scores.shape == shape
    assert torch.isfinite(scores).all()
    assert torch.equal(scores, member.score(weight, stats))
    layout = ROWS.layout(shape)
    assert member.block_scores(weight, stats, layout).shape == (1, shape[0])


@pytest.mark.parametrize("member", MEMBERS)
def test_nothing_given_is_changed_and_no_gradient_is_kept(member: Criterion) -> None:
    weight, stats = noise(6, 4, 3, 3).requires_grad_(), statistics_of((6, 4, 3, 3))
    untouched, stats_before = weight.detach().clone(), statistics_of((6, 4, 3, 3))
    assert not member.score(weight, stats).requires_grad
    assert torch.equal(weight, untouched)
    for name in STATISTICS:
        assert torch.equal(stats.known(name), stats_before.known(name))


OWN_DIRECTION = {"random", "similarity", "noiseout", "reconstruction"}  # tests of their own say which one goes


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (1, 5), (5, 1), (1, 1, 3, 3), (4, 0), (0, 4)], ids=str)
@pytest.mark.parametrize("kind", ["noise", "zeros", "ones"])
@pytest.mark.parametrize("member", MEMBERS)
def test_dead_single_and_empty_layers_get_no_nan(member: Criterion, kind: str, shape: tuple[int, ...]) -> None:
    weight = noise(*shape) if kind == "noise" else torch.full(shape, float(kind == "ones"))
    scores = member.score(weight, dead_statistics_of(shape))
    assert scores.shape == shape
    assert torch.isfinite(scores).all()
    if prod(shape) and shape[0] % 2 == 0:
        assert torch.isfinite(member.score(weight, statistics_of(shape))).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("member", MEMBERS)
def test_other_precisions_score_as_the_same_numbers_in_single(member: Criterion, dtype: torch.dtype) -> None:
    weight, stats = noise(6, 4).bfloat16().to(dtype), statistics_of((6, 4))
    scores = member.score(weight, stats)
    torch.testing.assert_close(scores.float(), member.score(weight.float(), stats))


@pytest.mark.parametrize("member", [member for member in MEMBERS if CRITERIA[str(member.id)].settings])
def test_every_setting_is_taken_at_its_ends(member: Criterion) -> None:
    for name, spec in member.settings.items():
        ends = spec.choices or (spec.bounds.minimum, spec.bounds.maximum)
        for value in ends:
            scores = member.score(noise(6, 4), statistics_of((6, 4)), **{name: value})
            assert torch.isfinite(scores).all()


UNITS = {
    "weight": "l1 l2 random gradient taylor fisher snip wanda sparsegpt lamp",
    "output": "taylor_activation bn_scale apoz mean_activation similarity noiseout ablation",
    "input": "reconstruction",
}


@pytest.mark.parametrize("member", MEMBERS)
def test_scores_tell_apart_what_the_unit_says(member: Criterion) -> None:
    assert member.name in UNITS[member.unit].split()
    scores = member.score(noise(6, 4, 3), statistics_of((6, 4, 3)))
    constant = {"weight": (), "output": (1, 2), "input": (0, 2)}[member.unit]
    spread = [scores.amax(axis) - scores.amin(axis) for axis in range(3)]
    assert [axis for axis in range(3) if not spread[axis].any()] == list(constant)


def test_only_those_that_refit_have_an_update() -> None:
    assert [name for name, member in CRITERIA.items() if member.update] == ["sparsegpt", "reconstruction", "noiseout"]


@pytest.mark.parametrize("member", [member for member in MEMBERS if member.id not in OWN_DIRECTION])
def test_a_larger_score_means_keep(member: Criterion) -> None:
    grows = torch.arange(1.0, 7)
    stats = LayerStatistics(
        input_norm=torch.ones(1, 4),
        inputs_gram=torch.eye(4).double()[None],
        gradient=torch.ones(6, 4),
        gradient_magnitude=grows[:, None].expand(6, 4),
        gradient_square=torch.ones(6, 4),
        first_gradient=torch.ones(6, 4),
        activation_gradient=grows,
        ablation=grows - 3,
        activation_zeros=1 - grows / 10,  # fewer zeros, more alive
        activation_mean=grows,
        bn_scale=-grows,
        n=1,
    )
    scores = member.block_scores(-grows[:, None].expand(6, 4), stats, ROWS.layout((6, 4)))
    assert masks.keep_largest(scores, 2).tolist() == [[False] * 4 + [True] * 2]


@pytest.mark.parametrize("member", MEMBERS)
def test_unknown_settings_are_refused(member: Criterion) -> None:
    with pytest.raises(UnknownName, match=r"^unknown setting 'sed'; (did you mean 'seed'\?|known: )"):
        member.score(noise(2, 2), statistics_of((2, 2)), sed=1)


@pytest.mark.parametrize("member", [member for member in MEMBERS if CRITERIA[str(member.id)].needs])
def test_a_missing_statistic_is_refused_in_a_sentence(member: Criterion) -> None:
    need = min(member.needs)  # the first that is missed
    with pytest.raises(CriterionError, match=f"^{member.name} needs {STATISTICS[need]}; l1 works everywhere$"):
        member.score(noise(2, 2), LayerStatistics())


def test_half_precision_weights_do_not_overflow() -> None:
    scores = CRITERIA["l2"].block_scores(torch.full((2, 300), 300.0).half(), LayerStatistics(), ROWS.layout((2, 300)))
    assert scores.tolist() == [[27e6, 27e6]]


WEIGHT = torch.tensor([[3.0, -4.0], [0.0, 1.0]])
BY_HAND = {
    "l1": ([[3, 4], [0, 1]], [7, 1]),
    "l2": ([[9, 16], [0, 1]], [25, 1]),
    "taylor": ([[3, -8], [0, 4]], [25, 16]),
    "wanda": ([[1.5, 8], [0, 2]], [9.5, 2]),
    "bn_scale": ([[0.5, 0.5], [2, 2]], [1, 4]),
    "gradient": ([[1, 2], [3, 4]], [3, 7]),
    "taylor_activation": ([[0.5, 0.5], [2, 2]], [1, 4]),
    "fisher": ([[9, 8], [0, 2]], [17, 2]),
    "snip": ([[3, 8], [0, 2]], [11, 2]),
    "sparsegpt": ([[9 * 2.03, 16 * 4.03], [0, 4.03]], [9 * 2.03 + 16 * 4.03, 4.03]),  # damped by 1 % of 3
    "reconstruction": ([[18 / 86, 68 / 86]] * 2, [1, 1]),  # channels add 2 (9 + 0) and 4 (16 + 1) of output
    "similarity": ([[34**0.5] * 2] * 2, [2 * 34**0.5] * 2),
    "noiseout": ([[0.5, 0.5], [1, 1]], [1, 2]),  # correlation 3 / (2 * 3); the first varies less
    "ablation": ([[-0.5, -0.5], [2, 2]], [-1, 4]),
    "lamp": ([[9 / 25, 1], [0, 1 / 26]], [34 / 25, 1 / 26]),
    "apoz": ([[0.75, 0.75], [0, 0]], [1.5, 0]),
    "mean_activation": ([[0.1, 0.1], [0.2, 0.2]], [0.2, 0.4]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_scores_by_hand(name: str) -> None:
    stats = LayerStatistics(
        input_norm=torch.tensor([[0.5, 2.0]]),
        inputs_gram=torch.tensor([[[2.0, 0], [0, 4]]]).double(),
        gradient=torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        gradient_magnitude=torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        gradient_square=torch.tensor([[2.0, 1.0], [5.0, 4.0]]),
        first_gradient=torch.tensor([[-1.0, 2.0], [1.0, -2.0]]),
        activation_gradient=torch.tensor([0.5, 2.0]),
        output_mean=torch.zeros(2).double(),
        output_covariance=torch.tensor([[4.0, 3.0], [3.0, 9.0]]).double(),
        ablation=torch.tensor([-0.5, 2.0]),
        activation_zeros=torch.tensor([0.25, 1.0]),
        activation_mean=torch.tensor([0.1, 0.2]),
        bn_scale=torch.tensor([-0.5, 2.0]),
    )
    scores, by_row = BY_HAND[name]
    torch.testing.assert_close(CRITERIA[name].score(WEIGHT, stats), torch.tensor(scores, dtype=torch.float))
    blocks = CRITERIA[name].block_scores(WEIGHT, stats, ROWS.layout((2, 2)))
    torch.testing.assert_close(blocks, torch.tensor([by_row], dtype=torch.float))


def test_all_members_have_an_answer_by_hand_or_are_random() -> None:
    assert set(CRITERIA) == set(BY_HAND) | {"random"}


def test_members_stand_in_the_order_of_the_reference() -> None:
    order = "l1 l2 random gradient taylor taylor_activation fisher snip bn_scale apoz mean_activation wanda sparsegpt "
    assert list(CRITERIA) == (order + "reconstruction similarity noiseout ablation lamp").split()


def test_the_first_criterion_is_the_one_that_plans_start_with() -> None:
    assert next(iter(CRITERIA)) == "l1"


def test_random_is_the_seeds_and_the_layers_alone() -> None:
    random = CRITERIA["random"]
    first = random.score(noise(40, 5), LayerStatistics(), seed=3)
    assert torch.equal(first, random.score(noise(40, 5, seed=9), LayerStatistics(), seed=3))
    assert not torch.equal(first, random.score(noise(40, 5), LayerStatistics(), seed=4))
    other = [random.score(noise(40, 5), LayerStatistics(layer=layer), seed=3) for layer in ("a", "b", "a")]
    assert torch.equal(other[0], other[2])
    assert other[0].sub(other[1]).abs().mean() > 0.2  # other noise for a layer of the same shape
    state = torch.get_rng_state()
    random.score(noise(4, 4), LayerStatistics())
    assert torch.equal(state, torch.get_rng_state())


def test_random_takes_every_block_about_equally_often() -> None:
    layout, stats = ROWS.layout((5, 3)), LayerStatistics()
    kept = sum(
        masks.keep_largest(CRITERIA["random"].block_scores(torch.zeros(5, 3), stats, layout, seed=seed), 2).int()
        for seed in range(500)
    )
    assert isinstance(kept, Tensor)
    spread = sqrt(500 * 0.4 * 0.6)
    assert ((kept - 200).abs() < 4 * spread).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31 - 1), out=st.integers(2, 8), into=st.integers(1, 8))
def test_l2_ranks_blocks_as_the_norm_does(seed: int, out: int, into: int) -> None:
    weight = noise(out, into, seed=seed)
    blocks = CRITERIA["l2"].block_scores(weight, LayerStatistics(), ROWS.layout((out, into)))
    torch.testing.assert_close(blocks.sqrt(), weight.norm(dim=1)[None])


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5, "1"])
def test_a_seed_out_of_bounds_is_refused(seed: object) -> None:
    with pytest.raises(PlanError, match=r"^setting 'seed' is .*; it takes a whole number from 0 to "):
        CRITERIA["random"].score(noise(2, 2), LayerStatistics(), seed=seed)


def test_split_settings_gives_each_its_own() -> None:
    assert split_settings("n_m", "random", {"n": 1, "seed": 5, "layout": "flat"}) == (
        {"n": 1, "layout": "flat"},
        {"seed": 5},
    )
    assert split_settings("fine_grained", "l1", {}) == ({}, {})


def test_split_settings_refuses_what_neither_declares() -> None:
    with pytest.raises(UnknownName, match=r"^unknown setting 'sed'; did you mean 'seed'\?$"):
        split_settings("n_m", "random", {"n": 1, "sed": 5})
    with pytest.raises(UnknownName, match=r"^unknown setting 'seed'; known: none$"):
        split_settings("row", "l1", {"seed": 5})
    with pytest.raises(PlanError, match=r"^setting 'n' is 0;"):
        split_settings("n_m", "l1", {"n": 0})
    with pytest.raises(UnknownName, match=r"^unknown criterion 'tailor'; did you mean 'taylor'\?$"):
        split_settings("row", "tailor", {})


def test_a_criterion_may_only_need_what_can_be_collected() -> None:
    with pytest.raises(ValueError, match=r"^criterion 'new' needs unknown statistics: hessian$"):
        criterion("new", label="New", needs=frozenset({"hessian"}))
    assert "new" not in CRITERIA


def test_no_setting_of_a_criterion_has_the_name_of_a_granularitys() -> None:
    ours = {name for member in GRANULARITIES.values() for name in member.settings}
    assert ours.isdisjoint(name for member in CRITERIA.values() for name in member.settings)


def test_dead_channels() -> None:
    assert LayerStatistics(activation_zeros=torch.tensor([1.0, 0.99, 1.0])).dead_channels.tolist() == [0, 2]
    with pytest.raises(CriterionError, match=r"^activation_zeros needs the layer's activations on calibration data$"):
        _ = LayerStatistics().dead_channels


def test_a_refusal_says_why_this_layer_has_no_such_statistic() -> None:
    stats = LayerStatistics(why_not={"inputs_gram": "needs fewer inputs"})
    with pytest.raises(CriterionError, match=r"^sparsegpt needs fewer inputs; l1 works everywhere$"):
        CRITERIA["sparsegpt"].score(noise(2, 2), stats)
