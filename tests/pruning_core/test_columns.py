"""Norms of a layer's inputs: equal to those of the unfolded columns, whatever the stride, padding and groups."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.data import EvalData
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


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_input_norms_of_a_convolution_are_those_of_the_unfolded_columns(name: str) -> None:
    conv = CONVOLUTIONS[name]()
    data = data_of(4, 7, 8, targets=False)
    norm = collect(traced(conv, 4, 7, 8), data, {"input_norm"}, batch_size=5)["weight"].input_norm
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
    norm = collect(traced(nn.Linear(5, 2), *shape), data, {"input_norm"}, batch_size=4)["weight"].known("input_norm")
    torch.testing.assert_close(norm, data.batch(slice(None)).reshape(-1, 5).norm(dim=0)[None])


class TwoWays(nn.Module):
    """One weight used as it is, and turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.w), self.w.t())


def test_input_norms_of_a_weight_used_both_ways_count_what_each_weight_meets() -> None:
    module, data = TwoWays(), data_of(5, targets=False)
    norm = collect(traced(module, 5), data, {"input_norm"})["w"].known("input_norm")
    x = data.batch(slice(None))
    forth, back = x.square().sum(0), F.linear(x, module.w.detach()).square().sum(0)
    torch.testing.assert_close(norm, (back[:, None] + forth).sqrt())
