"""Reconstruction: the LASSO's path against brute force, ThiNet's greedy choice, and least-squares weights."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.criteria import CRITERIA, LayerStatistics, Refit
from pruning_core.criteria.lasso import lasso_strengths
from pruning_core.criteria.reconstruction import channel_products, greedy_turns, refitted
from pruning_core.statistics import collect
from tests.pruning_core.toys import data_of, traced


def products_of(n: int, seed: int, examples: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(examples, n, generator=generator) + torch.randn(examples, 1, generator=generator) / 2
    return (outputs.T @ outputs).double()


def lasso(products: Tensor, strength: float) -> Tensor:
    """The coefficients, found among all patterns of signs by the conditions of optimality."""
    target = products.sum(1)
    for pattern in product((-1.0, 0.0, 1.0), repeat=len(products)):
        signs = torch.tensor(pattern).double()
        active, solution = signs != 0, torch.zeros(len(products)).double()
        solution[active] = torch.linalg.solve(products[active][:, active], target[active] - strength * signs[active])
        fits = (target - products @ solution).abs().max() <= strength * (1 + 1e-9)
        if fits and (solution * signs >= 0).all():
            return solution
    raise AssertionError("no pattern is optimal")


@pytest.mark.parametrize("seed", range(6))
def test_strengths_are_those_at_which_coefficients_die(seed: int) -> None:
    products = products_of(4, seed)
    for channel, strength in enumerate(lasso_strengths(products).tolist()):
        assert lasso(products, strength * 0.999)[channel] != 0
        for stronger in (1.001, 1.2, 2, 5):
            assert lasso(products, strength * stronger)[channel] == 0


@pytest.mark.parametrize("seed", [336, 186, 383])  # of 400, those whose path changes most when nothing may leave
def test_a_coefficient_that_becomes_zero_on_the_way_leaves(seed: int) -> None:
    outputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    products = (outputs.T @ outputs).double()
    for channel, strength in enumerate(lasso_strengths(products).tolist()):
        assert lasso(products, strength * 0.999)[channel] != 0
        assert lasso(products, strength * 1.001)[channel] == 0


def test_independent_channels_die_at_their_own_energy() -> None:
    strengths = lasso_strengths(torch.diag(torch.tensor([3.0, 0.0, 1.0, 7.0])).double())
    torch.testing.assert_close(strengths, torch.tensor([3.0, 0, 1, 7]).double(), rtol=1e-5, atol=0)


def test_equal_channels_share_a_strength_and_nothing_is_nan() -> None:
    outputs = torch.tensor([[1.0, 1, 0, 2], [2, 2, 0, 1], [0, 0, 0, 3]]).double()
    strengths = lasso_strengths(outputs.T @ outputs)
    torch.testing.assert_close(strengths[0], strengths[1], rtol=1e-3, atol=0)
    assert strengths[2] == 0
    assert torch.isfinite(strengths).all()
    assert not lasso_strengths(torch.zeros(3, 3).double()).any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), examples=st.integers(1, 40))
def test_every_channel_of_a_layer_that_depends_on_itself_gets_a_strength(seed: int, n: int, examples: int) -> None:
    strengths = lasso_strengths(products_of(n, seed, examples))
    assert torch.isfinite(strengths).all()
    assert (strengths >= 0).all()
    torch.testing.assert_close(strengths.max(), products_of(n, seed, examples).sum(1).abs().max(), rtol=1e-4, atol=0)


def test_what_channels_add_comes_from_the_gram_matrix_alone() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 5, 3, bias=False).double(), torch.randn(4, 3, 7, 7).double()
    columns = nn.functional.unfold(x, 3).transpose(0, 1).flatten(1)  # (27, n)
    single = [nn.functional.conv2d(x[:, c : c + 1], conv.weight[:, c : c + 1]).flatten() for c in range(3)]
    expected = torch.stack([torch.stack([a @ b for b in single]) for a in single])
    torch.testing.assert_close(channel_products(conv.weight.flatten(2), columns @ columns.T), expected)


def test_greedy_takes_the_least_error_each_time() -> None:
    products = products_of(5, 0)
    order = greedy_turns(products).argsort().tolist()
    for turn in range(5):

        def left(channel: int, gone: list[int] = order[:turn]) -> float:
            return float(products[[*gone, channel]][:, [*gone, channel]].sum())

        assert min(order[turn:], key=left) == order[turn]


def test_greedy_by_hand() -> None:
    """Channel 1 alone matters least; after it channel 2, which undoes it, and not the smaller channel 0."""
    outputs = torch.tensor([[2.0, 0, 0], [0, 1, -2]]).double()
    assert greedy_turns(outputs.T @ outputs).tolist() == [2.0, 0.0, 1.0]
    assert greedy_turns(torch.zeros(3, 3).double()).tolist() == [2.0, 1.0, 0.0]  # of equals the first stays


@pytest.mark.parametrize("method", ["lasso", "greedy"])
def test_groups_are_scored_by_their_own_inputs(method: str) -> None:
    grams = torch.stack([products_of(2, seed) for seed in (1, 2)])
    weight = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    scores = CRITERIA["reconstruction"].score(weight, LayerStatistics(inputs_gram=grams), method=method)
    assert torch.equal(scores[:3], scores[:1].expand(3, 2))
    assert torch.equal(scores[3:], scores[3:4].expand(3, 2))
    alone = CRITERIA["reconstruction"].score(weight[3:], LayerStatistics(inputs_gram=grams[1:]), method=method)
    torch.testing.assert_close(scores[3] / scores[3].max(), alone[0] / alone[0].max())


def test_scores_do_not_depend_on_the_scale_of_inputs_or_weights() -> None:
    gram, weight = products_of(4, 3)[None], torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    score = CRITERIA["reconstruction"].score
    expected = score(weight, LayerStatistics(inputs_gram=gram))
    torch.testing.assert_close(score(5 * weight, LayerStatistics(inputs_gram=9 * gram)), expected)


def test_weights_are_those_of_least_squares_on_each_rows_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(6, 40, generator=generator).double(), torch.randn(5, 6, generator=generator).double()
    mask = torch.rand(5, 6, generator=generator) < 0.6
    mask[1], mask[2] = True, False
    found = refitted(weight, mask, (x @ x.T)[None])
    for row, kept, new in zip(weight, mask, found, strict=True):
        assert not new[~kept].any()
        if kept.any():
            expected = torch.linalg.lstsq(x[kept].T, x.T @ row).solution
            torch.testing.assert_close(new[kept], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[1], weight[1])


def test_what_the_data_does_not_say_stays_as_it_is() -> None:
    """Input 2 is dead and inputs 0 and 1 are one: the work of 0 goes to 1, the weight of 2 stays."""
    x = torch.tensor([[1.0, 2, 3], [1, 2, 3], [0, 0, 0]]).double()
    weight = torch.tensor([[1.0, 10, 100]]).double()
    mask = torch.tensor([[False, True, True]])
    torch.testing.assert_close(
        refitted(weight, mask, (x @ x.T)[None]), torch.tensor([[0.0, 11, 100]]).double(), rtol=1e-5, atol=0
    )
    alone = refitted(weight, torch.tensor([[False, False, True]]), (x @ x.T)[None])
    assert alone.tolist() == [[0, 0, 100]]


def test_the_update_rebuilds_a_convolutions_output_from_fewer_channels() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 5, 3, padding=1, bias=False)
    module = nn.Sequential(first, nn.ReLU(), second).eval()
    graph, data = traced(module, 2, 9, 9), data_of(2, 9, 9)
    member, stats = CRITERIA["reconstruction"], collect(graph, data, ["inputs_gram"])
    scores = member.score(graph.weight("2"), stats["2"])[0, :, 0, 0]
    mask = torch.ones(5, 8, 3, 3, dtype=torch.bool)
    mask[:, scores.argsort()[:4]] = False
    masks = {"2": mask, "0": torch.ones(8, 2, 3, 3, dtype=torch.bool), "0.bias": torch.ones(8, dtype=torch.bool)}
    masks["0"][scores.argsort()[:4]] = False
    changed = member.update(Refit(graph, "2", masks, lambda _: stats))
    assert list(changed) == ["2"]  # rows that go whole need no repair
    with torch.no_grad():
        hidden = module[:2](data.batch(slice(None)))
        outputs = [
            nn.functional.conv2d(hidden, w, padding=1) for w in (second.weight, second.weight * mask, changed["2"])
        ]
    plain, repaired = [(output - outputs[0]).square().sum() for output in outputs[1:]]
    assert repaired < 0.7 * plain
