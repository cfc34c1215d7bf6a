"""Parity with torch's own pruning and counters and with what other libraries compute.

Each test carries the name of the library; where that means something else by the same words, the test names its
variant. Libraries that are not installed here stand as the few lines that they compute. Others of this kind: the cubic
schedule of torch.ao.pruning in test_schedules, Distiller's sensitivity pruner in test_selection, Torch-Pruning in
test_parity_torch_pruning and coupling/test_torch_pruning, PaddleSlim, AIMET, ShrinkBench and RigL in
test_allocation_parity; masked, slimmed and ONNX Runtime against each other in slimming.
"""

from itertools import combinations

import pytest
import torch
import torch.ao.pruning as ap
import torch.nn.utils.prune as prune
from torch import Tensor, nn
from torch.ao.pruning import NearlyDiagonalSparsifier
from torch.ao.pruning._experimental.data_sparsifier.data_norm_sparsifier import DataNormSparsifier
from torch.ao.pruning._experimental.pruner.saliency_pruner import SaliencyPruner
from torch.utils.flop_counter import FlopCounterMode

from pruning_core import masks
from pruning_core.apply import masks_for
from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import trace
from pruning_core.layers import tensor_at
from pruning_core.metrics.storage import storage_of
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.schedules import SCHEDULES
from pruning_core.selection import select

WISH = LayerPlan()
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
def test_torch_l1_unstructured(build: type[nn.Module], sparsity: float) -> None:
    """torch reads amount=1 as one weight and 1.0 as all; our sparsity is a share always."""
    ours = our_mask(build().weight, sparsity)
    assert torch.equal(ours, prune.l1_unstructured(build(), "weight", float(sparsity)).weight_mask.bool())


def test_torch_l1_unstructured_rounds_halves_to_even() -> None:
    layer = linear(5, 1)
    ours = our_mask(layer.weight, 0.5)
    assert int((~ours).sum()) == 2
    assert torch.equal(ours, prune.l1_unstructured(layer, "weight", 0.5).weight_mask.bool())


def test_torch_l1_unstructured_agrees_among_equals_in_count_but_not_in_place() -> None:
    """torch.topk leaves the order of equals open; we keep the lowest index."""
    layer = nn.Linear(8, 1)
    nn.init.ones_(layer.weight)
    ours = our_mask(layer.weight, 0.5)
    theirs = prune.l1_unstructured(layer, "weight", 0.5).weight_mask.bool()
    assert int(ours.sum()) == int(theirs.sum()) == 4
    assert ours.tolist() == [[True] * 4 + [False] * 4]


def test_torch_l1_unstructured_called_twice_prunes_what_remains_and_we_the_whole() -> None:
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
def test_torch_ln_structured(
    build: type[nn.Module], dim: int, granularity: str, criterion: str, n: int, sparsity: float
) -> None:
    """torch's n=inf (the largest weight of a row) has no like here; its dim=1 of a convolution is a whole channel."""
    ours = our_mask(build().weight, sparsity, granularity, criterion)
    theirs = prune.ln_structured(build(), "weight", sparsity, n=n, dim=dim).weight_mask.bool()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.333, 0.5, 0.8])
def test_torch_global_unstructured(sparsity: float) -> None:
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
def test_torch_random_unstructured_and_structured_agree_in_count(sparsity: float) -> None:
    """torch draws a permutation from its global generator; we draw a score for each weight from a seed of our own."""
    layer = linear()
    fine = our_mask(layer.weight, sparsity, criterion="random")
    assert fine.sum() == prune.random_unstructured(linear(), "weight", float(sparsity)).weight_mask.sum()
    rows = our_mask(layer.weight, sparsity, "row", "random")
    assert rows.sum() == prune.random_structured(linear(), "weight", float(sparsity), dim=0).weight_mask.sum()


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_torch_ao_weight_norm_sparsifier_of_single_weights(sparsity: float) -> None:
    ours = our_mask(linear().weight, sparsity)
    assert torch.equal(ours, mask_of_sparsifier(linear(), sparsity, (1, 1), 1))


def test_torch_ao_weight_norm_sparsifier_of_two_in_four() -> None:
    """torch counts the zeros of a block, the hardware's 2:4 the weights kept: the same for two."""
    ours = our_mask(linear().weight, 0.5, "n_m")
    assert torch.equal(ours, mask_of_sparsifier(linear(), 1.0, (1, 4), 2))


def test_torch_ao_weight_norm_sparsifier_calls_one_in_four_three_zeros() -> None:
    ours = our_mask(linear().weight, 0.75, "n_m", n=1, m=4)
    assert torch.equal(ours, mask_of_sparsifier(linear(), 1.0, (1, 4), 3))


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.8])
@pytest.mark.parametrize(("rows", "cols"), [(1, 4), (4, 4), (2, 3)])
@pytest.mark.parametrize(("criterion", "norm"), [("l1", 1), ("l2", 2)])
def test_torch_ao_weight_norm_sparsifier_of_blocks(
    sparsity: float, rows: int, cols: int, criterion: str, norm: int
) -> None:
    """Where blocks do not tile the matrix torch pads it and misses the sparsity; we refuse."""
    layer = linear(24, 16)
    ours = our_mask(layer.weight, sparsity, "block", criterion, rows=rows, cols=cols)
    assert torch.equal(ours, mask_of_sparsifier(layer, sparsity, (rows, cols), rows * cols, norm))


def test_torch_ao_weight_norm_sparsifier_fails_on_convolutions_and_we_flatten_them() -> None:
    with pytest.raises(RuntimeError, match=r"Expected 3D or 4D|expand"):
        mask_of_sparsifier(conv(), 0.5, (1, 4), 4)
    weight = conv().weight.detach()
    flat = linear(36, 6)
    flat.weight.data = weight.flatten(1)
    ours = our_mask(weight, 0.5, "block", "l2", rows=1, cols=4)
    assert torch.equal(ours.flatten(1), mask_of_sparsifier(flat, 0.5, (1, 4), 4))


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("build", [linear, conv])
def test_torch_ao_saliency_pruner_removes_the_rows_of_least_l1_norm(build: type[nn.Module], sparsity: float) -> None:
    """torch.ao.pruning's experimental SaliencyPruner takes int(n * sparsity) rows and we round."""
    weight = build().weight.detach()
    n_rows = int(len(weight) * sparsity)
    model = nn.Sequential(build())
    pruner = SaliencyPruner({"sparsity_level": sparsity})
    pruner.prepare(model, [{"tensor_fqn": "0.weight"}])
    pruner.enable_mask_update = True
    pruner.step()
    theirs = model[0].parametrizations.weight[0].mask
    assert torch.equal(our_mask(weight, n_rows / len(weight), "row").flatten(1).all(1), theirs)


@pytest.mark.parametrize(("criterion", "norm"), [("l1", "L1"), ("l2", "L2")])
@pytest.mark.parametrize("rows_and_cols", [(1, 1), (1, 4), (2, 4)])
def test_torch_ao_data_norm_sparsifier_of_embeddings(criterion: str, norm: str, rows_and_cols: tuple[int, int]) -> None:
    """torch.ao.pruning's table is (tokens, width); our matrix is its transpose, so blocks lie across."""
    rows, cols = rows_and_cols
    torch.manual_seed(0)
    graph = trace(nn.Sequential(nn.Embedding(12, 8)).eval(), (torch.zeros(1, 3, dtype=torch.long),))
    (layer,) = graph.layers
    table = tensor_at(graph.module, layer.parameter).detach()
    sparsifier = DataNormSparsifier(
        data_list=[("table", table)],
        sparsity_level=0.5,
        sparse_block_shape=rows_and_cols,
        zeros_per_block=rows * cols,
        norm=norm,
    )
    sparsifier.step()
    blocks = {"granularity": "block", "rows": cols, "cols": rows}
    ours = layer.stored(our_mask(graph.weight(layer.name), 0.5, criterion=criterion, **blocks))
    assert torch.equal(ours, sparsifier.get_mask("table").bool())


@pytest.mark.parametrize(("nearliness", "size"), [(1, 8), (3, 8), (5, 6), (11, 6)])
def test_torch_ao_nearly_diagonal_sparsifier_is_a_ranking_by_distance(nearliness: int, size: int) -> None:
    """A band around the diagonal whatever the weights are; we have no such criterion, our ranks make the same mask."""
    module = nn.Sequential(nn.Linear(size, size, bias=False))
    sparsifier = NearlyDiagonalSparsifier(nearliness=nearliness)
    sparsifier.prepare(module, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    theirs = module[0].parametrizations.weight[0].mask.bool()
    distance = (torch.arange(size)[:, None] - torch.arange(size)).abs()
    kept = int((distance <= (nearliness - 1) / 2).sum())
    ours = masks.below(masks.ranks(-distance.flatten()[None].float()), kept).reshape(size, size)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("begin", [0, 3])
def test_tensorflow_model_optimization_polynomial_decay(begin: int) -> None:
    """PolynomialDecay of power 3, by its formula; it prunes only every `frequency` steps, our schedule has no gaps."""
    span = {"begin_step": begin, "end_step": begin + 10, "initial": 0.2, "final": 0.8}
    for step in range(begin + 14):
        progress = min(1, max(0, (step - begin) / 10))
        theirs = 0.8 + (0.2 - 0.8) * (1 - progress) ** 3
        assert SCHEDULES["polynomial"].sparsity(step, **span) == pytest.approx(theirs)


def test_distiller_automated_gradual_pruner() -> None:
    """Distiller ends at the last step that `frequency` reaches, before its end: that step is our end."""
    start, end, frequency, final = 2, 20, 4, 0.9
    span = (end - start - 1) // frequency * frequency
    for step in range(start, start + span + 1, frequency):
        theirs = final + (0.1 - final) * (1 - (step - start) / span) ** 3
        found = SCHEDULES["polynomial"].sparsity(
            step, begin_step=start, end_step=start + span, initial=0.1, final=final
        )
        assert found == pytest.approx(theirs)


def asp_mask(matrix: Tensor) -> Tensor:
    """Best of the six patterns for every four numbers of (rows, cols), as NVIDIA's m4n2_1d chooses it."""
    patterns = torch.tensor([[float(i in pair) for i in range(4)] for pair in combinations(range(4), 2)])
    best = (matrix.abs().reshape(-1, 4) @ patterns.T).argmax(1)
    return patterns[best].bool().reshape(matrix.shape)


def test_nvidia_model_optimizer_create_asp_mask() -> None:
    """`2:4 sparsity` counts along the inputs, in convolutions for each kernel position; equals may fall otherwise."""
    weight = linear(16, 10).weight.detach()
    assert torch.equal(our_mask(weight, 0.5, "n_m"), asp_mask(weight))
    torch.manual_seed(0)
    kernels = nn.Conv2d(8, 6, 3).weight.detach()
    by_position = kernels.permute(2, 3, 0, 1)
    theirs = asp_mask(by_position.reshape(-1, 8)).reshape(by_position.shape).permute(2, 3, 0, 1)
    assert torch.equal(our_mask(kernels, 0.5, "n_m"), theirs)
    ties = torch.ones(4, 8)
    assert our_mask(ties, 0.5, "n_m").sum() == asp_mask(ties).sum()


def test_onnxsim_two_in_four_counts_over_flattened_weights() -> None:
    """onnxsim's n=2, m=4 groups in * kernel of an output: our layout `flat`, not the hardware's."""
    torch.manual_seed(0)
    kernels = nn.Conv2d(8, 6, 3).weight.detach()
    theirs = asp_mask(kernels.flatten(1)).reshape(kernels.shape)
    assert torch.equal(our_mask(kernels, 0.5, "n_m", layout="flat"), theirs)
    assert not torch.equal(our_mask(kernels, 0.5, "n_m"), theirs)


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("build", [linear, conv])
def test_onnxsim_magnitudes_compete_within_an_output(build: type[nn.Module], sparsity: float) -> None:
    """onnxsim's sparsity without n and m takes the same count from every row: n of m with m the whole row."""
    weight = build().weight.detach()
    rows = weight.flatten(1)
    m = rows.shape[1]
    n = m - round(sparsity * m)
    kept = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, rows.abs().topk(n, dim=1).indices, True)
    assert torch.equal(our_mask(weight, 1 - n / m, "n_m", n=n, m=m, layout="flat"), kept.reshape(weight.shape))


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.333, 0.5, 0.95])
def test_nncf_magnitudes(sparsity: float) -> None:
    """NNCF keeps |w| above the (int((n - 1) r) + 1)-th smallest: it takes one weight even at a sparsity of 0."""
    weight = linear().weight.detach()
    n = weight.numel()
    n_gone = int((n - 1) * sparsity) + 1
    threshold = weight.abs().flatten().kthvalue(n_gone).values
    assert torch.equal(our_mask(weight, n_gone / n), weight.abs() > threshold)


def test_nncf_ranks_all_layers_after_dividing_by_their_norms() -> None:
    """Our common threshold compares scores as they are: on weights that were divided beforehand it is NNCF's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 5)).eval()
    net[1].weight.data *= 5
    divided = {name: (net[int(name)].weight / net[int(name)].weight.norm()).detach() for name in "01"}
    together = torch.cat([values.abs().flatten() for values in divided.values()])
    threshold = together.kthvalue(int((len(together) - 1) * 0.5) + 1).values
    plain = select("global_threshold", Ranking(Model("net", net, (torch.zeros(1, 6),))), dict.fromkeys("01", WISH), 0.5)
    for name in "01":
        net[int(name)].weight.data = divided[name]
    known = Ranking(Model("divided", net, (torch.zeros(1, 6),)))
    chosen = select("global_threshold", known, dict.fromkeys("01", WISH), int((together <= threshold).sum()) / 88)
    for name, wish in chosen.items():
        assert torch.equal(known.mask(name, wish), divided[name].abs() > threshold)
        assert wish.sparsity != plain[name].sparsity


def test_torch_flop_counter_counts_two_for_each_mac() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)).eval()
    x = torch.zeros(1, 3, 8, 8)
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert trace(module, (x,)).macs == 18_944
    assert counter.get_total_flops() == 37_888


def test_torch_semi_structured_tensors_take_our_two_in_four_but_need_a_gpu() -> None:
    """Their kernels want CUDA; what can be held against them here is the pattern that they ask for."""
    weight = linear(64, 32).weight.detach()
    masked = weight * our_mask(weight, 0.5, "n_m")
    assert torch.equal((masked.reshape(-1, 4) != 0).sum(1), torch.full((masked.numel() // 4,), 2))
    if torch.cuda.is_available():
        half = masked.half().cuda()
        assert torch.equal(torch.sparse.to_sparse_semi_structured(half).to_dense(), half)
    else:
        with pytest.raises(RuntimeError, match="Only CUDA tensors are currently supported"):
            torch.sparse.to_sparse_semi_structured(masked.half())


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_torch_sparse_csr_takes_the_bytes_that_we_count() -> None:
    """torch's indices are int64 unless told; with int32 its tensors take the bytes that we count."""
    weight = linear(64, 32).weight.detach()
    mask = our_mask(weight, 0.68)
    sparse = (weight * mask).to_sparse_csr()
    assert torch.equal(sparse.to_dense(), weight * mask)
    indices = sparse.crow_indices(), sparse.col_indices()
    sizes = storage_of(mask.numel(), int(mask.sum()), rows=32)
    assert sizes["csr"] == sparse.values().nbytes + sum(part.int().nbytes for part in indices)
    assert sizes["dense"] == weight.nbytes
    assert sparse.values().nbytes + sum(part.nbytes for part in indices) == 8124  # not far from 8192 dense


@pytest.mark.filterwarnings("ignore:Sparse (BSR|CSR) tensor support is in beta")
@pytest.mark.parametrize("sparsity", [0.25, 0.5])
def test_torch_sparse_bsr_stores_blocks_without_a_zero(sparsity: float) -> None:
    weight = linear(64, 32).weight.detach()
    mask = our_mask(weight, sparsity, "block", rows=4, cols=4)
    sparse = (weight * mask).to_sparse_bsr((4, 4))
    assert torch.equal(sparse.to_dense(), weight * mask)
    assert sparse.values().numel() == int(mask.sum()) == round((1 - sparsity) * weight.numel())


@pytest.mark.parametrize("sparsity", [0.1, 0.333, 0.5, 0.95])
@pytest.mark.parametrize("build", [linear, conv])
def test_mit_efficient_deep_learning_course_fine_grained_prune(build: type[nn.Module], sparsity: float) -> None:
    """The course keeps |w| above the round(n s)-th smallest; with equals it removes more than asked, we do not."""
    weight = build().weight.detach()
    n_zeros = round(weight.numel() * sparsity)
    theirs = weight.abs() > weight.abs().flatten().kthvalue(n_zeros).values
    assert torch.equal(our_mask(weight, sparsity), theirs)
