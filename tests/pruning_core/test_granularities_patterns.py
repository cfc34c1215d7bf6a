"""Vectors and patterns: exact answers by hand and against a search over every choice."""

import re
from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core import masks
from pruning_core.errors import GranularityError
from pruning_core.granularities import GRANULARITIES
from pruning_core.granularities.patterns import choose_patterns, pattern_set

unhurried = settings(deadline=None, max_examples=60)
SHAPES = st.sampled_from([(2, 3, 3, 3), (4, 1, 5), (3, 2, 2, 2), (2, 2, 3, 1, 3), (5, 4, 2, 2, 2), (6, 2, 4)])


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def natural(kernel: Tensor, entries: int) -> tuple[int, ...]:
    """The positions that PatDNN would keep of one kernel: the middle, where there is one, and the largest besides."""
    values = kernel.abs().flatten().tolist()
    odd = all(size % 2 for size in kernel.shape)
    order = sorted(range(len(values)), key=lambda i: (not (odd and i == len(values) // 2), -values[i], i))
    return tuple(sorted(order[:entries]))


def frequent(weights: list[Tensor], entries: int, n: int) -> list[tuple[int, ...]]:
    counts = Counter(natural(kernel, entries) for weight in weights for kernel in weight.flatten(0, 1))
    by_bits = sorted(counts, key=lambda shape: (-counts[shape], sum(1 << position for position in shape)))
    return by_bits[:n]


def mask_of(scores: Tensor, weights: list[Tensor], **fields: int) -> Tensor:
    layout = GRANULARITIES["pattern"].layout(tuple(scores.shape), **fields)
    assert layout.choose is not None
    assert layout.allowed is not None
    keep = masks.n_removed(1 - layout.steps[1], layout.blocks_per_arena)
    chosen = layout.choose(scores, layout.allowed(weights))
    return masks.expand(masks.keep_largest(masks.pool(chosen, layout), keep), layout)


@unhurried
@given(shape=SHAPES, seed=st.integers(0, 999), entries=st.integers(1, 4), n=st.integers(1, 6))
def test_the_set_holds_the_most_frequent_natural_patterns(
    shape: tuple[int, ...], seed: int, entries: int, n: int
) -> None:
    weights = [noise(shape, seed), noise((7, 2, *shape[2:]), seed + 1)]
    found = pattern_set(weights, entries, n)
    assert [tuple(row.nonzero().flatten().tolist()) for row in found] == frequent(weights, entries, n)


@unhurried
@given(shape=SHAPES, seed=st.integers(0, 999), entries=st.integers(1, 3), n=st.integers(1, 6), signed=st.booleans())
def test_every_kernel_keeps_the_pattern_of_the_set_with_the_largest_sum(
    shape: tuple[int, ...], seed: int, entries: int, n: int, signed: bool
) -> None:
    weights, scores = [noise((9, 3, *shape[2:]), seed)], noise(shape, seed + 1)
    scores = scores if signed else scores.abs()
    allowed = frequent(weights, entries, n)
    kept = mask_of(scores, weights, entries=entries, patterns=n)
    for kernel, mask in zip(scores.flatten(2).flatten(0, 1), kept.flatten(2).flatten(0, 1), strict=True):
        sums = [kernel[list(shape)].double().sum().item() for shape in allowed]
        assert tuple(mask.nonzero().flatten().tolist()) == allowed[sums.index(max(sums))]


def test_with_every_pattern_allowed_the_kept_sum_is_the_largest_possible() -> None:
    shapes = list(combinations(range(4), 2))
    weights = [torch.tensor([[2.0 if i in shape else 1.0 for i in range(4)] for shape in shapes]).reshape(6, 1, 2, 2)]
    scores = noise((5, 3, 2, 2), 0)
    free = masks.keep_largest(scores.flatten(2), 2).reshape(scores.shape)
    assert torch.equal(mask_of(scores, weights, entries=2, patterns=6), free)


def test_one_pattern_by_hand_even_where_another_shape_would_keep_more() -> None:
    weights = [torch.tensor([[[5.0, 1, 4]], [[6.0, 1, 0]], [[0.0, 2, 3]]])]  # middle and left twice, and right once
    scores = torch.tensor([[[1.0, 1, 9]]])
    assert mask_of(scores, weights, entries=2, patterns=1).tolist() == [[[True, True, False]]]
    assert mask_of(scores, weights, entries=2, patterns=2).tolist() == [[[False, True, True]]]


def test_equal_scores_are_decided_by_the_more_frequent_pattern() -> None:
    weights = [torch.tensor([[[5.0, 1, 4]], [[6.0, 1, 0]], [[0.0, 2, 3]]])]
    for value in (0.0, 1.0, -1.0, 1e-45, -3e38):
        assert mask_of(torch.full((1, 1, 3), value), weights, entries=2, patterns=2).tolist() == [[[True, True, False]]]


def test_scores_of_the_chosen_pattern_stay_and_all_others_lie_just_below() -> None:
    weights, scores = [noise((8, 4, 3, 3), 1)], noise((8, 4, 3, 3), 2)
    before = scores.clone()
    chosen = choose_patterns(scores, pattern_set(weights, entries=4, patterns=8))
    assert torch.equal(scores, before)
    kernels, old = chosen.flatten(2).flatten(0, 1), scores.flatten(2).flatten(0, 1)
    top = masks.keep_largest(kernels, 4)
    assert torch.equal(kernels[top], old[top])
    assert (kernels.masked_fill(~top, 9).amin(1) > kernels.masked_fill(top, -9).amax(1)).all()
    assert (kernels <= old).all()
    assert torch.isfinite(kernels).all()


def test_a_layout_of_patterns_is_equal_to_itself_and_hashable() -> None:
    one, other = (GRANULARITIES["pattern"].layout((2, 2, 3, 3)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("shape", "v", "blocks", "size"),
    [
        ((8, 16), 4, 32, 4),
        ((8, 6), 3, 16, 3),
        ((8, 16, 1, 1), 4, 32, 4),
        ((2, 3, 5), 4, 6, 5),
        ((2, 3, 3, 5), 4, 18, 5),
        ((2, 3, 2, 2, 4), 4, 24, 4),
    ],
)
def test_vectors_of_a_weight(shape: tuple[int, ...], v: int, blocks: int, size: int) -> None:
    layout = GRANULARITIES["vector"].layout(shape, v=v)
    assert (layout.n_arenas, layout.blocks_per_arena, layout.block_size) == (1, blocks, size)


def test_vectors_by_hand() -> None:
    def kept(scores: Tensor, n: int, **fields: int) -> list[object]:
        layout = GRANULARITIES["vector"].layout(tuple(scores.shape), **fields)
        return masks.expand(masks.keep_largest(masks.pool(scores, layout), n), layout).tolist()

    matrix = torch.tensor([[1.0, 9, 2, 2], [3, 3, 0, 1]])  # sums 10, 4, 6, 1
    assert kept(matrix, 2, v=2) == [[True, True, False, False], [True, True, False, False]]
    kernels = torch.tensor([[[[1.0, 9], [2, 2]]], [[[3, 3], [0, 1]]]])  # rows of two kernels
    assert kept(kernels, 2) == [[[[True, True], [False, False]]], [[[True, True], [False, False]]]]


@pytest.mark.parametrize(
    ("name", "shape", "fields", "message"),
    [
        ("vector", (8, 6), {}, "vectors of 4 do not tile rows of 6; v of 2 or 3 or 6 would fit"),
        ("vector", (8, 1), {}, "vectors of 4 do not tile rows of 1; no v from 2 to 16 fits"),
        ("vector", (8, 3, 3, 1), {}, "rows of kernels of (3, 1) are single weights; fine_grained does the same"),
        ("pattern", (8, 6), {}, "a weight without kernel positions has no patterns"),
        ("pattern", (8, 6, 1, 1), {}, "a weight without kernel positions has no patterns"),
        ("pattern", (8, 6, 3), {}, "a pattern of 4 removes nothing from kernels of 3; entries of 2 or less do"),
        ("pattern", (8, 6, 9, 9), {}, "patterns are for kernels of up to 62 positions, these have 81"),
    ],
)
def test_refusals_say_what_would_fit(name: str, shape: tuple[int, ...], fields: dict[str, int], message: str) -> None:
    with pytest.raises(GranularityError, match=f"^{re.escape(message)}"):
        GRANULARITIES[name].layout(shape, **fields)
