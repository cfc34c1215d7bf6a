"""Norms that may lose channels: the masked function takes its statistics of what lives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.slimming import living_graph, slim_graph
from pruning_core.slimming.compare import difference
from tests.pruning_core.coupling.nets import NETS, Net
from tests.pruning_core.slimming.equal import THROUGH_NORMS, assert_equal, batches_of, coupled, groups_of
from tests.removals import masked_module, random_groups

ROW = torch.randn(2, 7, 5)  # (batch, tokens, width)
WIDTH = 8


def by_mean(m: Net, x: Tensor) -> Tensor:
    return m.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def by_variance(m: Net, x: Tensor) -> Tensor:
    return m.weight * (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-6).sqrt()


def by_var_mean(m: Net, x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, -1, keepdim=True)
    return m.weight * (x - mean) / (variance + 1e-6).sqrt()


def by_length(m: Net, x: Tensor) -> Tensor:
    return m.weight * x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-6)


NORMS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "layer_norm": lambda m, x: F.layer_norm(x, (WIDTH,), m.weight, m.bias),
    "layer_norm_without_vectors": lambda m, x: F.layer_norm(x, (WIDTH,)),
    "rms_norm": lambda m, x: F.rms_norm(x, (WIDTH,), m.weight, 1e-6),
    "mean": by_mean,
    "variance": by_variance,
    "var_mean": by_var_mean,
    "length": by_length,
}


def net_with(norm: Callable[[Net, Tensor], Tensor]) -> Net:
    return Net(
        lambda m, x: m.b(norm(m, m.a(x))),
        a=nn.Linear(5, WIDTH),
        b=nn.Linear(WIDTH, 3),
        weight=torch.randn(WIDTH),
        bias=torch.randn(WIDTH),
    )


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_what_lives_equal_those_of_the_smaller_graph(name: str) -> None:
    net = net_with(NORMS[name])
    coupling = coupled(net, ROW, options=THROUGH_NORMS)
    removed = groups_of(coupling, "a.weight", 0, 3, 6)
    slim = slim_graph(coupling, removed)
    assert slim.get_parameter("a.weight").shape == (5, 5)
    assert_equal(slim, living_graph(coupling, removed), *batches_of(ROW))
    zeroed, scale, _ = difference(slim, masked_module(net, coupling, removed), batches_of(ROW))
    zeros_would_do = name == "length"  # a sum counts no zeros
    assert (zeroed <= 1e-5 * scale) == zeros_would_do


def test_a_layer_norm_by_hand() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    coupling = coupled(net, ROW, options=THROUGH_NORMS)
    found = living_graph(coupling, groups_of(coupling, "0.weight", 1))(ROW)
    left = torch.tensor([0, 2, 3])
    hidden = net[0](ROW)[..., left]
    centred = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    normalised = centred * net[1].weight[left] + net[1].bias[left]
    expected = normalised @ net[2].weight[:, left].T + net[2].bias
    assert torch.allclose(found, expected, atol=1e-5)


def test_positions_of_every_group_of_a_group_norm() -> None:
    net = nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(2, 12), nn.ReLU(), nn.Conv2d(12, 4, 1))
    image = torch.randn(2, 3, 8, 8)
    coupling = coupled(net, image, options=THROUGH_NORMS)
    removed = groups_of(coupling, "0.weight", 1, 4)
    slim = slim_graph(coupling, removed)
    assert slim.get_parameter("0.weight").shape[0] == 8  # positions 1 and 4 of both groups
    assert_equal(slim, living_graph(coupling, removed), *batches_of(image))


@pytest.mark.parametrize("name", ["residual", "multihead", "decoder", "shuffle", "multiplier"])
def test_without_norms_it_is_the_masked_net(name: str) -> None:
    net, shapes = NETS[name]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs)
    removed = random_groups(coupling, 0.5, seed=0)
    assert_equal(living_graph(coupling, removed), masked_module(net, coupling, removed), *batches_of(*inputs))


def test_a_decoder_layer_loses_width() -> None:
    net, shapes = NETS["decoder"]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs, options=THROUGH_NORMS)
    assert coupling.statistics
    removed = random_groups(coupling, 0.5, seed=0)
    assert_equal(slim_graph(coupling, removed), living_graph(coupling, removed), *batches_of(*inputs))
