"""The order in which examples are measured: each once, a random preview, the lowest margins soon."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch

from pruning_core.sensitivity.estimates import drop_of, is_settled
from pruning_core.sensitivity.order import PREVIEW, Order, margins, order_of, preview_of
from pruning_core.sensitivity.tally import Tally


def outputs(n: int, classes: int = 10, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, classes, (n,), generator=generator)
    return torch.randn(n, classes, generator=generator), targets


def strata_in(order: Order, blocks: int) -> np.ndarray:
    """How many examples of each stratum are in after so many blocks."""
    return np.bincount(order.stratum[np.concatenate(order.blocks[:blocks])], minlength=len(order.sizes))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 100, 199, 500, 2000, 100_000])
@pytest.mark.parametrize(("classes", "labelled"), [(1, True), (2, False), (10, True), (1000, False)])
def test_each_example_comes_once_and_the_preview_first(n: int, classes: int, labelled: bool) -> None:
    if n * classes > 10_000_000:
        return
    logits, targets = outputs(n, classes)
    order = order_of(logits, targets if labelled else None)
    assert sorted(np.concatenate(order.blocks).tolist()) == list(range(n))
    assert np.array_equal(order.blocks[0], preview_of(n))
    assert len(order.blocks[0]) == min(n, PREVIEW)
    assert order.sizes == tuple(np.bincount(order.stratum))
    assert min(order.sizes) > 0
    assert len(order.blocks) == 1 or n > PREVIEW
    assert all(len(block) for block in order.blocks)


def test_the_order_is_fixed_and_the_preview_random() -> None:
    logits, targets = outputs(2000)
    one, other = order_of(logits, targets), order_of(logits, targets)
    assert all(np.array_equal(a, b) for a, b in zip(one.blocks, other.blocks, strict=True))
    assert abs(preview_of(100_000).mean() / 100_000 - 0.5) < 4 * sqrt(1 / 12 / PREVIEW)  # 4 standard errors
    assert len(set(preview_of(100_000).tolist())) == PREVIEW


def test_margins_are_to_the_other_side_of_right_and_wrong() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert margins(logits, torch.tensor([0, 1, 2, 0])).tolist() == [2.0, 2.0, 3.0, 0.0]
    assert margins(logits, None).tolist() == [2.0, 2.0, 2.0, 0.0]
    assert margins(logits[:, :1], torch.zeros(4, dtype=torch.int64)).tolist() == [0.0] * 4


def test_strata_go_by_margin_and_then_by_answer() -> None:
    logits, _ = outputs(2000)
    order, distance = order_of(logits, None), margins(logits, None)
    assert order.sizes[:3] == (100, 100, 200)
    for lower, upper in ((0, 1), (1, 2), (2, 3)):
        assert distance[order.stratum == lower].max() <= distance[order.stratum >= upper].min()
    for k in range(3, 13):
        assert len(set(logits.argmax(1)[order.stratum == k].tolist())) == 1


def test_margins_that_are_all_equal_leave_only_the_answers() -> None:
    logits = torch.eye(10)[torch.arange(2000) % 10]
    order = order_of(logits, logits.argmax(1))
    assert order.sizes == (200,) * 10
    alone = order_of(torch.zeros(2000, 1), None)
    assert alone.sizes == (2000,)


def test_all_of_one_answer_are_one_group() -> None:
    logits, _ = outputs(2000)
    logits[:, 3] += 100
    assert order_of(logits, torch.full((2000,), 3)).sizes == (100, 100, 200, 1600)


def test_the_lowest_margins_come_soonest_and_none_is_left_behind() -> None:
    order = order_of(*outputs(2000))
    for blocks in range(2, len(order.blocks)):
        shares = strata_in(order, blocks) / order.sizes
        assert shares[0] >= shares[1] >= shares[2] >= shares[3:].max() - 0.07  # the preview is random
        assert shares[3:].min() >= shares[3:].max() - 0.07
    assert strata_in(order, 3)[0] == 100  # a census after two blocks


@pytest.mark.parametrize("n", [300, 1000, 2000, 20_000])
def test_a_cell_without_any_change_is_settled_by_the_third_block(n: int) -> None:
    order = order_of(*outputs(n))

    def settled(blocks: int) -> bool:
        tallies = [Tally(n=int(k), correct=int(k), agreeing=int(k), labelled=True) for k in strata_in(order, blocks)]
        return is_settled(drop_of(tallies, order.sizes))

    assert settled(4)
    assert not settled(3)


def test_blocks_after_the_third_grow_and_looks_are_few() -> None:
    for n, most in ((300, 5), (2000, 10), (20_000, 20), (100_000, 26)):
        blocks = order_of(*outputs(n)).blocks
        assert len(blocks) <= most
        sizes = [sum(len(block) for block in blocks[:i]) for i in range(4, len(blocks))]
        assert all(after / before < 1.45 for before, after in pairwise(sizes))
