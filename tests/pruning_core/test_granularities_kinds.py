"""Contract: every granularity cuts every kind of layer into exact counts, or says by name why it does not."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from pruning_core import masks
from pruning_core.errors import GranularityError
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import ModelGraph, trace
from pruning_core.layers import WEIGHT_USES, Layer
from tests.pruning_core.toys import Conv1D, Product, SideBySide, traced


class Attention(nn.Module):
    """Self-attention of torch: one packed projection, or separate ones where keys and values are of another width."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        width = {} if packed else {"kdim": 8, "vdim": 8}
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, **width)
        self.packed = packed

    def forward(self, x: Tensor) -> Tensor:
        other = x if self.packed else x[..., :8]
        values: Tensor = self.attention(x, other, other, need_weights=False)[0]
        return values


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(16, 8), (16,)),
    "addmm": (lambda: Conv1D(16, 8), (3, 16)),
    "matmul": (lambda: Product(lambda x, w: x @ w, 16, 8), (16,)),
    "embedding": (lambda: nn.Embedding(16, 8), (5,)),
    "conv1d": (lambda: nn.Conv1d(8, 16, 5), (8, 9)),
    "conv1d, kernel 1": (lambda: nn.Conv1d(8, 16, 1), (8, 9)),
    "conv2d": (lambda: nn.Conv2d(8, 16, 3), (8, 5, 5)),
    "conv2d, 1x1": (lambda: nn.Conv2d(8, 16, 1), (8, 5, 5)),
    "conv2d, 5x1": (lambda: nn.Conv2d(8, 16, (5, 1)), (8, 5, 5)),
    "conv2d, groups": (lambda: nn.Conv2d(16, 16, 3, groups=2), (16, 5, 5)),
    "conv2d, depthwise": (lambda: nn.Conv2d(16, 16, 3, groups=16), (16, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(8, 16, 2), (8, 3, 3, 3)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(8, 16, 5), (8, 9)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(8, 16, 3), (8, 5, 5)),
    "conv_transpose2d, groups": (lambda: nn.ConvTranspose2d(16, 16, 3, groups=2), (16, 5, 5)),
    "conv_transpose2d, depthwise": (lambda: nn.ConvTranspose2d(16, 16, 3, groups=16), (16, 5, 5)),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(8, 16, 2), (8, 3, 3, 3)),
    "attention, packed": (lambda: Attention(packed=True), (5, 16)),
    "attention, separate": (lambda: Attention(packed=False), (5, 16)),
}
MATRICES = ("linear", "addmm", "matmul", "embedding", "attention, packed", "attention, separate")
WITHOUT_KERNEL = (*MATRICES, "conv1d, kernel 1", "conv2d, 1x1")
DEPTHWISE = ("conv2d, depthwise", "conv_transpose2d, depthwise")
CUTS = {member.label_of(**preset): (m, preset) for m, member in GRANULARITIES.items() for preset in member.presets}
CUTS = {label: way for label, way in CUTS.items() if GRANULARITIES[way[0]].structure is None}
CUTS["2:4 flat"] = ("n_m", {"n": 2, "m": 4, "layout": "flat"})

# Everything else fits.
REASONS: dict[tuple[str, str], str] = {
    **{(kind, "Kernel"): "a weight without kernel positions has no kernels to remove" for kind in WITHOUT_KERNEL},
    **{(kind, "Pattern"): "a weight without kernel positions has no patterns" for kind in WITHOUT_KERNEL},
    **{(kind, "2:4"): "2:4 needs inputs in groups of 4, this layer has 1 for each output" for kind in DEPTHWISE},
    **{(kind, "1:4"): "1:4 needs inputs in groups of 4, this layer has 1 for each output" for kind in DEPTHWISE},
    **{(kind, "4:8"): "4:8 needs inputs in groups of 8, this layer has 1 for each output" for kind in DEPTHWISE},
    **{(kind, "2:4 flat"): "2:4 needs the weights of an output in groups of 4, this layer has 9" for kind in DEPTHWISE},
    **{(kind, "Block 4×4"): "blocks of (4, 4) do not tile a matrix of (16, 9); try (16, 1)" for kind in DEPTHWISE},
    ("conv2d, 5x1", "Vector"): "rows of kernels of (5, 1) are single weights; fine_grained does the same",
}


@cache
def all_kinds() -> tuple[SideBySide, ModelGraph]:
    torch.manual_seed(0)
    net = SideBySide([build() for build, _ in KINDS.values()], [shape for _, shape in KINDS.values()])
    return net, traced(net, sum(net.sizes))


def layers_of(kind: str) -> list[Layer]:
    net, graph = all_kinds()
    return net.layers_of(graph, list(KINDS).index(kind))


def mask_of(graph: ModelGraph, layer: Layer, name: str, preset: dict[str, object], sparsity: float) -> Tensor:
    layout = GRANULARITIES[name].layout(layer.weight_shape, **preset)
    scores = graph.weight(layer.name).abs()
    if layout.choose and layout.allowed:
        alike = [other.name for other in graph.layers if other.weight_shape[2:] == layer.weight_shape[2:]]
        scores = layout.choose(scores, layout.allowed([graph.weight(other) for other in alike]))
    n = layout.blocks_per_arena
    removed = masks.n_removed(layout.steps[1] if layout.steps else sparsity, n)
    assert 0 < removed < n
    mask = masks.expand(masks.keep_largest(masks.pool(scores, layout), n - removed), layout)
    assert int(mask.sum()) == layout.n_arenas * (n - removed) * layout.block_size
    return mask


@pytest.mark.parametrize("label", CUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_exact_counts_or_a_reason(kind: str, label: str) -> None:
    graph, (name, preset) = all_kinds()[1], CUTS[label]
    assert len(layers_of(kind)) == {"attention, packed": 2, "attention, separate": 4}.get(kind, 1)
    for layer in layers_of(kind):
        if (kind, label) in REASONS:
            with pytest.raises(GranularityError) as caught:
                GRANULARITIES[name].layout(layer.weight_shape, **preset)
            assert str(caught.value).startswith(REASONS[kind, label])
            continue
        mask = mask_of(graph, layer, name, preset, 0.4)
        assert tuple(mask.shape) == layer.weight_shape
        assert layer.stored(mask).shape == graph.module.get_parameter(layer.parameter).shape


def test_each_kind_of_operator_is_here() -> None:
    assert {layer.kind for kind in KINDS for layer in layers_of(kind)} == {k for _, k in WEIGHT_USES.values()}


def test_patterns_are_found_over_all_layers_with_such_kernels() -> None:
    """The first layer alone would keep its own favourite; with the second in the set that one's is more frequent."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 2, 3, bias=False), nn.Conv1d(2, 5, 3, bias=False)).eval()
    net[0].weight.data = torch.tensor([[[2.0, 1, 0]], [[2.0, 1, 0]]])
    net[1].weight.data = torch.tensor([0.0, 1, 2]).repeat(5, 2, 1)
    graph, fields = trace(net, (torch.zeros(1, 1, 9),)), {"entries": 2, "patterns": 1}
    for name in ("0", "1"):
        kept = mask_of(graph, graph.layer(name), "pattern", fields, 0.0)
        assert set(map(tuple, kept.flatten(0, 1).tolist())) == {(False, True, True)}
