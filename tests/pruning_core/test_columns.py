"""Norms and Gram matrices of a layer's inputs: those of the unfolded columns, whatever the stride and the groups."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.data import EvalData
from pruning_core.errors import CriterionError
from pruning_core.graph import ModelGraph
from pruning_core.statistics import collect
from tests.pruning_core.toys import data_of, traced

CONVOLUTIONS: dict[str, Callable[[], nn.Conv2d]] = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "stride and padding": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "uneven": lambda: nn.Conv2d(4, 6, (3, 2), stride=(1, 3), padding=(2, 0), dilation=(2, 1)),
    "groups": lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, stride=2, groups=4),
    "pointwise": lambda: nn.Conv2d(4, 6, 1),
}


@cache
def convolution(name: str) -> tuple[nn.Conv2d, ModelGraph]:
    conv = CONVOLUTIONS[name]()
    return conv, traced(conv, 4, 7, 8)


@cache
def linear(shape: tuple[int, ...]) -> ModelGraph:
    return traced(nn.Linear(5, 2), *shape)


@cache
def both_ways() -> tuple["TwoWays", ModelGraph]:
    module = TwoWays()
    return module, traced(module, 5)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_input_norms_of_a_convolution_are_those_of_the_unfolded_columns(name: str) -> None:
    conv, graph = convolution(name)
    data = data_of(4, 7, 8, targets=False)
    norm = collect(graph, data, {"input_norm"}, batch_size=5)["weight"].input_norm
    columns = F.unfold(data.batch(slice(None)), conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    by_channel = columns.transpose(0, 1).flatten(1).norm(dim=1).reshape(conv.groups, -1, *conv.kernel_size)
    expected = by_channel.repeat_interleave(conv.out_channels // conv.groups if conv.groups > 1 else 1, 0)
    assert norm is not None
    torch.testing.assert_close(norm, expected)


def test_input_norms_with_padding_same_are_those_of_the_same_padding() -> None:
    data = data_of(4, 6, 6, targets=False)
    convs = [nn.Conv2d(4, 2, 3, padding=padding) for padding in ("same", 1)]
    norms = [collect(traced(conv, 4, 6, 6), data, {"input_norm"})["weight"].known("input_norm") for conv in convs]
    torch.testing.assert_close(*norms)


def test_input_norms_in_one_dimension_by_hand() -> None:
    data = EvalData("toy", "calibration", np.array([[[3.0, 0, 4]], [[0, 2, 0]]]), None)
    norm = collect(traced(nn.Conv1d(1, 5, 2), 1, 3), data, {"input_norm"})["weight"].known("input_norm")
    torch.testing.assert_close(norm, torch.tensor([[[13.0, 20.0]]]).sqrt())


def test_input_norms_of_a_transposed_convolution_are_those_of_its_channels() -> None:
    data = data_of(4, 5, 5, targets=False)
    norm = collect(traced(nn.ConvTranspose2d(4, 6, 2, groups=2), 4, 5, 5), data, {"input_norm"})["weight"].input_norm
    by_channel = data.batch(slice(None)).transpose(0, 1).flatten(1).norm(dim=1)  # every weight meets every position
    assert norm is not None
    assert norm.shape == (6, 2, 2, 2)
    torch.testing.assert_close(norm[:, :, 0, 1], by_channel.reshape(2, 2).repeat_interleave(3, 0))


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5)], ids=str)
def test_input_norms_of_a_linear_layer_run_over_all_other_axes(shape: tuple[int, ...]) -> None:
    data = data_of(*shape, targets=False)
    norm = collect(linear(shape), data, {"input_norm"}, batch_size=4)["weight"].known("input_norm")
    torch.testing.assert_close(norm, data.batch(slice(None)).reshape(-1, 5).norm(dim=0)[None])


class TwoWays(nn.Module):
    """One weight used as it is, and turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.w), self.w.t())


def test_input_norms_of_a_weight_used_both_ways_count_what_each_weight_meets() -> None:
    (module, graph), data = both_ways(), data_of(5, targets=False)
    norm = collect(graph, data, {"input_norm"})["w"].known("input_norm")
    x = data.batch(slice(None))
    forth, back = x.square().sum(0), F.linear(x, module.w.detach()).square().sum(0)
    torch.testing.assert_close(norm, (back[:, None] + forth).sqrt())


def gram_of(graph: ModelGraph, data: EvalData) -> Tensor:
    return collect(graph, data, {"inputs_gram"}, batch_size=5)["weight"].known("inputs_gram")


@pytest.mark.parametrize("chunk", [1 << 24, 100], ids=["at once", "in chunks"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gram_matrices_of_a_convolution_are_those_of_the_unfolded_columns(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.columns.CHUNK", chunk)
    (conv, graph), data = convolution(name), data_of(4, 7, 8, targets=False)
    columns = F.unfold(data.batch(slice(None)), conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    grouped = columns.transpose(0, 1).flatten(1).reshape(conv.groups, -1, columns.shape[0] * columns.shape[2]).double()
    gram = gram_of(graph, data)
    assert gram.dtype == torch.float64
    torch.testing.assert_close(gram, grouped @ grouped.transpose(1, 2) / len(data), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5)], ids=str)
def test_gram_matrices_of_a_linear_layer_run_over_all_other_axes(shape: tuple[int, ...]) -> None:
    data = data_of(*shape, targets=False)
    rows = data.batch(slice(None)).reshape(-1, 5).double()
    torch.testing.assert_close(gram_of(linear(shape), data), (rows.T @ rows / len(data))[None], rtol=1e-4, atol=1e-5)


GRAMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "one dimension": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (4, 9)),
    "three dimensions": (lambda: nn.Conv3d(2, 4, 2, groups=2), (2, 4, 4, 4)),
    "same padding": (lambda: nn.Conv2d(2, 4, 3, padding="same"), (2, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (4, 5, 5)),
    "transposed in groups": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (4, 5, 5)),
    "linear in groups of one": (lambda: nn.Conv2d(4, 4, 3, groups=4), (4, 6, 6)),
}


@pytest.mark.parametrize("name", GRAMS)
def test_the_gram_matrix_gives_the_energy_of_every_output(name: str) -> None:
    """||W X||^2 of each output channel is w H w^T, whatever the operator is."""
    build, shape = GRAMS[name]
    module, data = build(), data_of(*shape, targets=False)
    torch.nn.init.zeros_(module.bias)
    graph = traced(module, *shape)
    gram = gram_of(graph, data)
    with torch.no_grad():
        energy = module(data.batch(slice(None))).transpose(0, 1).flatten(1).square().sum(1) / len(data)
    rows = graph.weight("weight").double().reshape(len(gram), -1, gram.shape[1])
    torch.testing.assert_close(torch.einsum("goi,gij,goj->go", rows, gram, rows).flatten().float(), energy)


def test_a_weight_used_both_ways_has_no_gram_matrix_and_says_so() -> None:
    stats = collect(both_ways()[1], data_of(5, targets=False), {"inputs_gram"})["w"]
    why = "needs a weight that is used one way, and this one is used turned round too"
    with pytest.raises(CriterionError, match=f"^inputs_gram {why}$"):
        stats.known("inputs_gram")


class Tokens(nn.Module):
    """Looks tokens up; they come as floats."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x.long()).sum(1)


def test_columns_of_an_embedding_are_tokens() -> None:
    data = EvalData("toy", "calibration", np.array([[0.0, 1, 1], [2, 1, 0]]), None)
    stats = collect(traced(Tokens(), 3), data, {"input_norm", "inputs_gram"})["table"]
    torch.testing.assert_close(stats.known("input_norm"), torch.tensor([[2.0, 3, 1, 0]]).sqrt())
    torch.testing.assert_close(stats.known("inputs_gram")[0], torch.diag(torch.tensor([2.0, 3, 1, 0]) / 2).double())
