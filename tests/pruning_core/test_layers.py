"""Layers: found by operator whatever the module's class, tied weights once, canonical weights mean what they say."""

import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at
from tests.pruning_core.toys import Conv1D, Product, SideBySide, flops_of_torch, traced

KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(3, 5), (3,), (5, 3)),
    "linear of three axes": (lambda: nn.Linear(3, 5), (7, 3), (5, 3)),
    "addmm": (lambda: Conv1D(3, 5), (7, 3), (5, 3)),
    "matmul": (lambda: Product(lambda x, w: x @ w, 3, 5), (3,), (5, 3)),
    "matmul with w.t()": (lambda: Product(lambda x, w: x @ w.t(), 5, 3), (3,), (5, 3)),
    "matmul with a transposed w": (lambda: Product(lambda x, w: x @ w.transpose(0, 1), 5, 3), (7, 3), (5, 3)),
    "linear with w.t()": (lambda: Product(lambda x, w: F.linear(x, w.t()), 3, 5), (3,), (5, 3)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3), (4, 8), (6, 4, 3)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 5, 5), (6, 4, 3, 3)),
    "conv2d, padding same": (lambda: nn.Conv2d(4, 6, 3, padding="same"), (4, 5, 5), (6, 4, 3, 3)),
    "conv2d, groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5), (6, 2, 3, 3)),
    "conv2d, depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5), (8, 1, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 3, 3), (3, 2, 2, 2, 2)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(4, 6, 3), (4, 8), (6, 4, 3)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), (6, 4, 3, 3)),
    "conv_transpose2d, groups": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5), (6, 2, 3, 3)),
    "conv_transpose3d, groups": (lambda: nn.ConvTranspose3d(2, 4, 2, groups=2), (2, 3, 3, 3), (4, 1, 2, 2, 2)),
}


@cache
def all_kinds() -> tuple[SideBySide, ModelGraph]:
    net = SideBySide([build() for build, _, _ in KINDS.values()], [shape for _, shape, _ in KINDS.values()])
    return net, traced(net, sum(net.sizes))


@pytest.mark.parametrize("kind", KINDS)
def test_canonical_weights_connect_their_input_to_their_output(kind: str) -> None:
    index, (_, input_shape, weight_shape) = list(KINDS).index(kind), KINDS[kind]
    net, graph = all_kinds()
    module = net.part[index]
    (layer,) = net.layers_of(graph, index)
    assert layer.weight_shape == weight_shape
    assert graph.unsupported_operators == ()
    assert 2 * layer.macs == flops_of_torch(module, *input_shape)
    parameter = tensor_at(net, layer.parameter)
    assert torch.equal(layer.stored(layer.canonical(parameter)), parameter)

    channel_axis = 1 if layer.kind.startswith("conv") else -1
    for out in range(weight_shape[0]):
        for into in range(weight_shape[1]):
            one = torch.zeros(weight_shape)
            one[out, into] = 1
            source = (out * layer.groups // weight_shape[0]) * weight_shape[1] + into  # the channel of the whole input
            responding = response(module, parameter, layer.stored(one), input_shape, channel_axis)
            assert responding.nonzero().tolist() == [[out, source]]


def response(module: nn.Module, parameter: Tensor, stored: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Which outputs answer to which input channels, (out, in) bool."""
    inputs = torch.zeros(1, *shape).movedim(axis, 0)
    answers = []
    with torch.no_grad():
        parameter.copy_(stored)
        silent = module(torch.zeros(1, *shape))
        for channel in range(len(inputs)):
            lit = inputs.clone()
            lit[channel] = 1
            answers.append((module(lit.movedim(0, axis)) - silent).movedim(axis, 0).flatten(1).any(1))
    return torch.stack(answers, 1)


def test_a_shared_module_is_one_layer_with_the_macs_of_both_uses() -> None:
    layer = nn.Linear(4, 4)
    graph = traced(nn.Sequential(layer, nn.ReLU(), layer), 4)
    assert [(found.name, found.macs, len(found.nodes)) for found in graph.layers] == [("0", 32, 2)]
    assert (graph.macs, graph.params) == (32, 20)


def test_tied_parameters_are_one_layer() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    graph = traced(module, 4)
    assert [(found.name, found.macs, found.params, len(found.nodes)) for found in graph.layers] == [("0", 32, 20, 2)]


def test_a_weight_used_both_ways_is_one_layer_named_by_its_first_use() -> None:
    graph = traced(Product(lambda x, w: F.linear(torch.relu(F.linear(x, w)), w.t()), 2, 5), 5)
    assert [(found.name, found.kind, found.weight_shape, found.macs) for found in graph.layers] == [
        ("w", "linear", (2, 5), 20)
    ]


def test_a_stack_of_matrices_and_a_vector_are_no_layers() -> None:
    stack = traced(Product(lambda x, w: torch.matmul(x, w), 2, 3, 5), 2, 4, 3)
    assert stack.layers == ()
    assert [(other.name, other.shape) for other in stack.not_prunable] == [("w", (2, 3, 5))]
    vector = traced(Product(lambda x, w: x @ w, 3), 4, 3)
    assert vector.layers == ()
    whys = [other.why for graph in (stack, vector) for other in graph.not_prunable]
    assert whys == [f"a layer's weight is one matrix; this is {what}" for what in ("a stack of matrices", "a vector")]


def test_empty_weights_and_single_numbers_are_no_layers_and_say_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it fills nothing
        nothing = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3, bias=False))
    graph = traced(nothing, 4)
    assert graph.layers == ()
    assert [(other.name, other.shape, other.why) for other in graph.not_prunable] == [
        ("0", (0, 4), "it is empty"),
        ("0.bias", (0,), "it is empty"),
        ("1", (3, 0), "it is empty"),
    ]
    scaled = traced(Product(lambda x, w: x * w), 4)
    assert [(other.shape, other.why) for other in scaled.not_prunable] == [((), "it is a single number")]


def test_a_parameter_that_no_layer_uses_says_who_reads_it() -> None:
    (added,) = traced(Product(lambda x, w: x + w, 3, 4), 3, 4).not_prunable
    assert added.why == "no convolution, linear, matmul or embedding uses it as a weight; it is read by aten.add.Tensor"
    (multiplied,) = traced(Product(lambda x, w: w @ x, 2, 3), 3, 4).not_prunable
    assert multiplied.why == "aten.matmul.default does not use it as its weight"


def test_a_convolution_with_a_computed_weight_is_no_layer() -> None:
    graph = traced(weight_norm(nn.Conv2d(2, 3, 3)), 2, 5, 5)
    assert graph.layers == ()
    assert {other.name for other in graph.not_prunable} == {
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    }


def test_layers_know_their_batch_norm_and_where_their_activation_is() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    conv, linear = traced(module, 1, 5, 5).layers
    assert (conv.batch_norm, linear.batch_norm) == ("1.weight", None)
    assert str(conv.activation) == "relu"
    assert linear.activation is linear.nodes[0]


def test_a_value_that_others_read_is_not_followed() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y + torch.relu(self.norm(y))

    (conv,) = traced(Twice(), 1, 3, 3).layers
    assert conv.batch_norm is None
    assert conv.activation is conv.nodes[0]


def test_weight_is_canonical_and_carries_no_gradient() -> None:
    module = Conv1D(3, 5)
    graph = traced(module, 3)
    weight = graph.weight(graph.layers[0].name)
    assert torch.equal(weight, module.weight.detach().t())
    assert not weight.requires_grad
