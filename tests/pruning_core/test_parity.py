"""Parity with torch's own pruning and counters; rows of the oracle table in order. Row 12 stands in test_schedules.

Where torch means something else by the same words, the test names its variant.
"""

import pytest
import torch
import torch.ao.pruning as ap
import torch.nn.utils.prune as prune
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core import masks
from pruning_core.apply import masks_for
from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import trace
from pruning_core.model import Model
from pruning_core.plan import Plan

SPARSITIES = [0.0, 0.1, 0.333, 0.5, 0.95, 1.0]


def our_mask(
    weight: Tensor, sparsity: float, granularity: str = "fine_grained", criterion: str = "l1", **settings: object
) -> Tensor:
    layout = GRANULARITIES[granularity].layout(tuple(weight.shape), **settings)
    scores = CRITERIA[criterion].block_scores(weight, LayerStatistics(), layout)
    n = layout.blocks_per_arena
    return masks.expand(masks.keep_largest(scores, n - masks.n_removed(sparsity, n)), layout)


def linear(n_in: int = 12, n_out: int = 10) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(n_in, n_out)


def conv() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(4, 6, 3)


def mask_of_sparsifier(layer: nn.Module, sparsity: float, block: tuple[int, int], zeros: int, norm: int = 2) -> Tensor:
    """The mask that torch.ao.pruning's WeightNormSparsifier makes in one step, bool, of the weight's shape."""
    sparsifier = ap.WeightNormSparsifier(
        sparsity_level=sparsity, sparse_block_shape=block, zeros_per_block=zeros, norm=norm
    )
    model = nn.Sequential(layer)
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    return model[0].parametrizations.weight[0].mask.bool()


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("build", [linear, conv])
def test_row_1_l1_unstructured(build: type[nn.Module], sparsity: float) -> None:
    """torch reads amount=1 as one weight and 1.0 as all; our sparsity is a share always."""
    ours = our_mask(build().weight, sparsity)
    assert torch.equal(ours, prune.l1_unstructured(build(), "weight", float(sparsity)).weight_mask.bool())


def test_row_1_halves_round_to_even() -> None:
    layer = linear(5, 1)
    ours = our_mask(layer.weight, 0.5)
    assert int((~ours).sum()) == 2
    assert torch.equal(ours, prune.l1_unstructured(layer, "weight", 0.5).weight_mask.bool())


def test_row_2_ties_agree_in_count_but_not_in_place() -> None:
    """torch.topk leaves the order of equals open; we keep the lowest index."""
    layer = nn.Linear(8, 1)
    nn.init.ones_(layer.weight)
    ours = our_mask(layer.weight, 0.5)
    theirs = prune.l1_unstructured(layer, "weight", 0.5).weight_mask.bool()
    assert int(ours.sum()) == int(theirs.sum()) == 4
    assert ours.tolist() == [[True] * 4 + [False] * 4]


def test_row_3_torch_prunes_what_remains_and_we_the_whole() -> None:
    """torch's second call removes half of the remaining half; a sparsity of ours is of the dense layer always."""
    layer = linear()
    for _ in range(2):
        prune.l1_unstructured(layer, "weight", 0.5)
    assert layer.weight_mask.mean() == 0.25
    once = our_mask(layer.weight_orig, 0.5)
    twice = our_mask(layer.weight_orig * once, 0.5)
    assert torch.equal(twice, once)
    assert torch.equal(our_mask(layer.weight_orig, 0.75), layer.weight_mask.bool())


@pytest.mark.parametrize("sparsity", SPARSITIES[1:-1])
@pytest.mark.parametrize(("criterion", "n"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize(("build", "dim", "granularity"), [(linear, 0, "row"), (linear, 1, "column"), (conv, 0, "row")])
def test_row_4_ln_structured(
    build: type[nn.Module], dim: int, granularity: str, criterion: str, n: int, sparsity: float
) -> None:
    """torch's n=inf (the largest weight of a row) has no like here; its dim=1 of a convolution is a whole channel."""
    ours = our_mask(build().weight, sparsity, granularity, criterion)
    theirs = prune.ln_structured(build(), "weight", sparsity, n=n, dim=dim).weight_mask.bool()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.333, 0.5, 0.8])
def test_row_5_global_unstructured(sparsity: float) -> None:
    """torch may empty a whole layer; we refuse that."""

    def build() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(36, 5)).eval()

    module = build()
    prune.global_unstructured(
        [(module[0], "weight"), (module[2], "weight")], pruning_method=prune.L1Unstructured, amount=sparsity
    )
    model = Model("toy", build(), (torch.zeros(1, 2, 5, 5),))
    plan = Plan(scope="model").with_layers({name: {"sparsity": sparsity} for name in ("0", "2")})
    ours = masks_for(model, plan)
    for name in ("0", "2"):
        theirs = module.get_submodule(name).weight_mask.bool()
        assert torch.equal(ours.get(name, torch.ones_like(theirs)), theirs)


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_row_6_random_agrees_in_count(sparsity: float) -> None:
    """torch draws a permutation from its global generator; we draw a score for each weight from a seed of our own."""
    layer = linear()
    fine = our_mask(layer.weight, sparsity, criterion="random")
    assert fine.sum() == prune.random_unstructured(linear(), "weight", float(sparsity)).weight_mask.sum()
    rows = our_mask(layer.weight, sparsity, "row", "random")
    assert rows.sum() == prune.random_structured(linear(), "weight", float(sparsity), dim=0).weight_mask.sum()


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_row_7_weight_norm_sparsifier_of_single_weights(sparsity: float) -> None:
    ours = our_mask(linear().weight, sparsity)
    assert torch.equal(ours, mask_of_sparsifier(linear(), sparsity, (1, 1), 1))


def test_row_8_weight_norm_sparsifier_of_two_in_four() -> None:
    """torch counts the zeros of a block, the hardware's 2:4 the weights kept: the same for two."""
    ours = our_mask(linear().weight, 0.5, "n_m")
    assert torch.equal(ours, mask_of_sparsifier(linear(), 1.0, (1, 4), 2))


def test_row_8_one_in_four_is_three_zeros_of_torch() -> None:
    ours = our_mask(linear().weight, 0.75, "n_m", n=1, m=4)
    assert torch.equal(ours, mask_of_sparsifier(linear(), 1.0, (1, 4), 3))


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.8])
@pytest.mark.parametrize(("rows", "cols"), [(1, 4), (4, 4), (2, 3)])
@pytest.mark.parametrize(("criterion", "norm"), [("l1", 1), ("l2", 2)])
def test_row_9_weight_norm_sparsifier_of_blocks(
    sparsity: float, rows: int, cols: int, criterion: str, norm: int
) -> None:
    """Where blocks do not tile the matrix torch pads it and misses the sparsity; we refuse."""
    layer = linear(24, 16)
    ours = our_mask(layer.weight, sparsity, "block", criterion, rows=rows, cols=cols)
    assert torch.equal(ours, mask_of_sparsifier(layer, sparsity, (rows, cols), rows * cols, norm))


def test_row_10_the_sparsifier_fails_on_convolutions_and_we_flatten_them() -> None:
    with pytest.raises(RuntimeError, match=r"Expected 3D or 4D|expand"):
        mask_of_sparsifier(conv(), 0.5, (1, 4), 4)
    weight = conv().weight.detach()
    flat = linear(36, 6)
    flat.weight.data = weight.flatten(1)
    ours = our_mask(weight, 0.5, "block", "l2", rows=1, cols=4)
    assert torch.equal(ours.flatten(1), mask_of_sparsifier(flat, 0.5, (1, 4), 4))


def test_row_24_flop_counter_counts_two_for_each_mac() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)).eval()
    x = torch.zeros(1, 3, 8, 8)
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert trace(module, (x,)).macs == 18_944
    assert counter.get_total_flops() == 37_888
