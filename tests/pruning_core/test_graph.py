"""The graph: MACs against torch's own counter, layers found by operator whatever the module's class, refusals."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models, ops

import sample_models
from pruning_core.errors import ModelError, UnknownName
from pruning_core.graph import ModelGraph, trace
from pruning_core.layers import tensor_at

torch.set_num_threads(1)


class Product(nn.Module):
    """Multiplies by a plain parameter in a way that is given."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape))
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x, self.w)


class Conv1D(nn.Module):
    """GPT-2's layer: a linear map whose weight is stored (in, out)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n_in, n_out)), nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return flat.view(*x.shape[:-1], -1)


def traced(module: nn.Module, *shape: int, batch: int = 1) -> ModelGraph:
    return trace(module.eval(), (torch.zeros(batch, *shape),))


def flops_of_torch(module: nn.Module, *shape: int) -> int:
    """What FlopCounterMode counts for one example; the fused attention of nn.MultiheadAttention is hidden from it."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, *shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


@cache
def sample_graph(name: str) -> tuple[nn.Module, ModelGraph]:
    module = sample_models.build(name).eval()
    return module, traced(module, 1, 28, 28)


@pytest.mark.parametrize("name", sample_models.SAMPLES)
def test_macs_of_the_samples_are_half_of_torchs_flops(name: str) -> None:
    module, graph = sample_graph(name)
    assert 2 * graph.macs == flops_of_torch(module, 1, 28, 28)
    assert graph.unsupported_operators == ()


@pytest.mark.parametrize("name", sample_models.SAMPLES)
def test_every_matrix_of_a_sample_is_a_layer_or_says_why_not(name: str) -> None:
    module, graph = sample_graph(name)
    found = {layer.parameter for layer in graph.layers} | {other.name for other in graph.not_prunable}
    assert found == {key for key, parameter in module.named_parameters() if parameter.dim() > 1}
    assert graph.params == sum(parameter.numel() for parameter in module.parameters())
    assert sum(layer.params for layer in graph.layers) <= graph.params
    assert sum(layer.macs for layer in graph.layers) <= graph.macs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "size", "macs"),
    [(models.resnet18, 224, 1_814_073_344), (models.mobilenet_v2, 64, None), (models.vit_b_32, 224, None)],
)
def test_macs_of_torchvision_are_half_of_torchs_flops(
    build: Callable[[], nn.Module], size: int, macs: int | None
) -> None:
    module = build().eval()
    graph = traced(module, 3, size, size)
    assert 2 * graph.macs == flops_of_torch(module, 3, size, size)
    assert macs in (None, graph.macs)
    assert graph.unsupported_operators == ()


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


@pytest.mark.parametrize("kind", KINDS)
def test_canonical_weights_connect_their_input_to_their_output(kind: str) -> None:
    build, input_shape, weight_shape = KINDS[kind]
    module = build().eval()
    graph = traced(module, *input_shape)
    (layer,) = graph.layers
    assert layer.weight_shape == weight_shape
    assert graph.unsupported_operators == ()
    assert 2 * layer.macs == flops_of_torch(module, *input_shape)
    parameter = tensor_at(module, layer.parameter)
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
    assert traced(Product(lambda x, w: x @ w, 3), 4, 3).layers == ()


def test_a_convolution_with_a_computed_weight_is_no_layer() -> None:
    graph = traced(weight_norm(nn.Conv2d(2, 3, 3)), 2, 5, 5)
    assert graph.layers == ()
    assert {other.name for other in graph.not_prunable} == {
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    }


def test_an_embedding_says_why_it_is_no_layer() -> None:
    graph = trace(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)).eval(), (torch.zeros(1, 3, dtype=torch.long),))
    assert [layer.name for layer in graph.layers] == ["1"]
    (embedding,) = graph.not_prunable
    assert embedding.why == "no convolution, linear or matmul uses it as a weight; it is read by aten.embedding.default"
    with pytest.raises(UnknownName, match=r"^'0' cannot be pruned: no convolution"):
        graph.layer("0")


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


class Odd(nn.Module):
    """Ends in an operator that is given."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.end = nn.Linear(4, 4), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.linear(x))


def warp(x: Tensor) -> Tensor:
    """An operator of another library than torch."""
    return ops.deform_conv2d(x, torch.zeros_like(x).repeat(1, 2, 1, 1), torch.ones(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (lambda x: torch.cdist(x[None], x[None])[0], "cdist"),
        (lambda x: torch.linalg.inv(x.unsqueeze(1) + torch.eye(4)), "linalg_inv"),
        (lambda x: torch.einsum("ni,nj->nij", x, x).svd()[1], "svd"),
        (lambda x: warp(x.view(-1, 1, 2, 2)), "torchvision.deform_conv2d"),
    ],
)
def test_an_unknown_operator_is_named(end: Callable[[Tensor], Tensor], name: str) -> None:
    assert any(name in operator for operator in traced(Odd(end), 4).unsupported_operators)


def test_a_graph_computes_what_the_module_computes_at_any_batch() -> None:
    module, graph = sample_graph("resnet_fashion")
    for batch in (1, 3):
        x = torch.randn(batch, 1, 28, 28)
        with torch.no_grad():
            assert torch.equal(graph.module(x), module(x))


@pytest.mark.parametrize("batch", [1, 5])
def test_an_example_of_any_batch_gives_the_same_graph(batch: int) -> None:
    graph = traced(nn.Linear(4, 2), 4, batch=batch)
    assert (graph.macs, graph.input_shapes, graph.output_shape) == (8, ((4,),), (2,))


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^the model is in training mode; call model\.eval\(\) before tracing it$"):
        trace(nn.Linear(4, 2).train(), (torch.zeros(1, 4),))


@pytest.mark.parametrize("shape", [(), (0, 4)])
def test_an_example_without_a_batch_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="has no batch; give"):
        trace(nn.Linear(4, 2).eval(), (torch.zeros(shape),))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda x: x if x.sum() > 0 else -x, id="branches on values"),
        pytest.param(
            lambda x: ops.nms(x * 0 + torch.tensor([0.0, 0, 1, 1]), x[:, 0], 0.5)[None], id="shapes depend on values"
        ),
        pytest.param(lambda x: {"logits": x}, id="returns a mapping"),
        pytest.param(lambda x: F.linear(x, torch.zeros(2, 7)), id="does not fit its input"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_a_sentence(end: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ModelError) as refusal:
        traced(Odd(end), 4)
    assert "\n" not in str(refusal.value)


def test_an_unknown_layer_is_answered_with_the_one_that_was_meant() -> None:
    graph = sample_graph("guide_cnn")[1]
    name = graph.layers[0].name
    with pytest.raises(UnknownName, match=rf"^the model has no prunable layer '{name}x'; did you mean '{name}'\?$"):
        graph.layer(name + "x")


def test_weight_is_canonical_and_carries_no_gradient() -> None:
    module = Conv1D(3, 5)
    graph = traced(module, 3)
    weight = graph.weight(graph.layers[0].name)
    assert torch.equal(weight, module.weight.detach().t())
    assert not weight.requires_grad
