"""Masks: exact answers on small tensors, exact counts for every granularity, inverse views."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core import masks
from pruning_core.errors import GranularityError
from pruning_core.granularities import GRANULARITIES, Layout

T, F = True, False
unhurried = settings(deadline=None, max_examples=60)  # a busy machine is no defect
SHAPES = st.one_of(
    st.tuples(st.integers(1, 8), st.integers(1, 12)),
    st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 3, 4, 8]), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5)),
)
WAYS = [(name, preset) for name, m in GRANULARITIES.items() for preset in m.presets if m.structure is None]
WAYS += [("n_m", {"n": 2, "m": 4, "layout": "flat"})]


def mask_of(scores: Tensor, granularity: str, n_keep: int, **settings: object) -> Tensor:
    """The whole way: cut, pool, keep the largest `n_keep` blocks of each arena, expand."""
    layout = GRANULARITIES[granularity].layout(tuple(scores.shape), **settings)
    return masks.expand(masks.keep_largest(masks.pool(scores, layout), n_keep), layout)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any granularity on any shape that it fits."""
    name, preset = draw(st.sampled_from(WAYS))
    shape = draw(SHAPES)
    try:
        return GRANULARITIES[name].layout(shape, **preset)
    except GranularityError:
        return GRANULARITIES["fine_grained"].layout(shape)


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("sparsity", "n", "removed"), [(0.5, 5, 2), (0.5, 7, 4), (0.95, 10, 10), (0.1, 10, 1), (0.0, 3, 0), (1.0, 3, 3)]
)
def test_halves_round_to_even(sparsity: float, n: int, removed: int) -> None:
    assert masks.n_removed(sparsity, n) == removed


def test_ranks_put_the_lowest_index_first_among_equals() -> None:
    assert masks.ranks(torch.tensor([[1.0, 3, 3, 2], [5, 5, 5, 5]])).tolist() == [[3, 0, 1, 2], [0, 1, 2, 3]]


def test_keep_largest_keeps_exactly_n_of_equals_from_the_lowest_index_on() -> None:
    assert masks.keep_largest(torch.ones(1, 6), 2).tolist() == [[T, T, F, F, F, F]]


def test_ties_keep_their_order_in_a_large_layer() -> None:
    scores = torch.arange(100_000).remainder(3).float()[None]
    kept = masks.keep_largest(scores, 50_000).nonzero()[:, 1]
    of_two, of_one = kept[kept % 3 == 2], kept[kept % 3 == 1]
    assert torch.equal(of_two, torch.arange(2, 100_000, 3))
    assert torch.equal(of_one, torch.arange(1, 100_000, 3)[: 50_000 - len(of_two)])


def test_fine_grained_by_hand() -> None:
    assert mask_of(torch.tensor([[4.0, 1], [3, 2]]), "fine_grained", 2).tolist() == [[T, F], [T, F]]


def test_rows_by_hand() -> None:
    assert mask_of(torch.tensor([[4.0, 0], [3, 2], [1, 1]]), "row", 1).tolist() == [[F, F], [T, T], [F, F]]


def test_columns_by_hand() -> None:
    scores = torch.tensor([[4.0, 0, 3], [0, 5, 3]])
    assert mask_of(scores, "column", 1).tolist() == [[F, F, T], [F, F, T]]


def test_columns_of_a_convolution_are_kernel_positions() -> None:
    scores = torch.zeros(2, 2, 1, 2)
    scores[1, 0, 0, 1] = 1
    expected = torch.zeros(2, 2, 1, 2, dtype=torch.bool)
    expected[:, 0, 0, 1] = True
    assert torch.equal(mask_of(scores, "column", 1), expected)


def test_kernels_by_hand() -> None:
    scores = torch.tensor([[[1.0, 1], [0, 3]], [[2, 2], [0, 1]]])  # (out 2, in 2, kernel 2); sums 2, 3, 4, 1
    assert mask_of(scores, "kernel", 2).tolist() == [[[F, F], [T, T]], [[T, T], [F, F]]]


def test_blocks_by_hand() -> None:
    scores = torch.tensor([[9.0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 3, 3], [1, 1, 3, 3]])  # sums 9, 8, 4, 12
    half = [T, T], [F, F]
    kept = mask_of(scores, "block", 2, rows=2, cols=2)
    assert kept.tolist() == [half[0] + half[1]] * 2 + [half[1] + half[0]] * 2


def test_two_of_four_along_the_inputs_of_each_kernel_position() -> None:
    scores = torch.tensor([[[1.0, 8], [2, 7], [3, 6], [4, 5]]])  # (out 1, in 4, kernel 2)
    assert mask_of(scores, "n_m", 2).tolist() == [[[F, T], [F, T], [T, F], [T, F]]]


def test_two_of_four_flat_counts_over_kernel_positions() -> None:
    scores = torch.tensor([[[1.0, 8], [2, 7], [3, 6], [4, 5]]])
    assert mask_of(scores, "n_m", 2, layout="flat").tolist() == [[[F, T], [F, T], [F, T], [F, T]]]


@unhurried
@given(layout=layouts(), share=st.floats(0, 1))
def test_every_arena_keeps_exactly_what_was_asked(layout: Layout, share: float) -> None:
    keep = layout.blocks_per_arena - masks.n_removed(share, layout.blocks_per_arena)
    mask = masks.expand(masks.keep_largest(masks.pool(noise(layout.weight_shape), layout), keep), layout)
    assert mask.shape == layout.weight_shape
    assert mask.dtype == torch.bool
    kept_by_arena = masks.pool(mask.int(), layout).sum(1)
    assert kept_by_arena.tolist() == [keep * layout.block_size] * layout.n_arenas


@unhurried
@given(layout=layouts())
def test_view_and_back_is_the_same_weight(layout: Layout) -> None:
    weight = noise(layout.weight_shape)
    viewed = masks.to_view(weight, layout)
    assert tuple(viewed.shape) == layout.view
    assert torch.equal(masks.from_view(viewed, layout), weight)


@unhurried
@given(layout=layouts())
def test_pool_sums_each_block_once_and_expand_undoes_it(layout: Layout) -> None:
    weight = noise(layout.weight_shape)
    pooled = masks.pool(weight, layout)
    assert pooled.shape == (layout.n_arenas, layout.blocks_per_arena)
    torch.testing.assert_close(pooled.sum(), weight.sum())
    numbers = torch.arange(pooled.numel()).reshape(pooled.shape)
    assert torch.equal(masks.pool(masks.expand(numbers, layout), layout), numbers * layout.block_size)


@unhurried
@given(rows=st.integers(1, 6), groups=st.integers(1, 5), seed=st.integers(0, 99))
def test_two_of_every_four_survive(rows: int, groups: int, seed: int) -> None:
    scores = noise((rows, 4 * groups), seed)
    mask = mask_of(scores, "n_m", 2)
    by_four, kept = scores.reshape(-1, 4), mask.reshape(-1, 4)
    assert (kept.sum(1) == 2).all()
    weakest_kept = by_four.masked_fill(~kept, 2).amin(1)
    assert (weakest_kept >= by_four.masked_fill(kept, -1).amax(1)).all()


@unhurried
@given(shape=SHAPES, share=st.floats(0, 1))
def test_a_mask_keeps_the_larger_scores(shape: tuple[int, ...], share: float) -> None:
    scores = noise(shape)
    keep = scores.numel() - masks.n_removed(share, scores.numel())
    mask = mask_of(scores, "fine_grained", keep)
    if mask.any() and not mask.all():
        assert scores[mask].min() >= scores[~mask].max()
