"""The graph: MACs against torch's own counter, layers found by operator whatever the module's class, refusals."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models, ops

import sample_models
from pruning_core.errors import ModelError, UnknownName
from pruning_core.graph import ModelGraph, trace
from pruning_core.loaders import load_model
from tests.pruning_core.toys import Product, flops_of_torch, traced


def sample_graph(name: str) -> tuple[nn.Module, ModelGraph]:
    model = load_model(name)
    return model.module, model.graph


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
    ("build", "size", "known"),
    [
        (models.resnet18, 224, (1_814_073_344, 11_689_512)),
        (models.mobilenet_v2, 64, None),
        (models.vit_b_32, 224, None),
    ],
)
def test_macs_of_torchvision_are_half_of_torchs_flops(
    build: Callable[[], nn.Module], size: int, known: tuple[int, int] | None
) -> None:
    module = build().eval()
    graph = traced(module, 3, size, size)
    assert 2 * graph.macs == flops_of_torch(module, 3, size, size)
    assert known in (None, (graph.macs, graph.params))
    assert graph.unsupported_operators == ()


def test_a_parameter_that_is_no_layer_is_refused_with_its_reason() -> None:
    graph = traced(nn.Sequential(nn.Linear(4, 4), Product(lambda x, w: x + w, 3, 4)), 3, 4)
    assert [layer.name for layer in graph.layers] == ["0"]
    with pytest.raises(UnknownName, match=r"^'1.w' cannot be pruned: no convolution.* is read by aten.add.Tensor"):
        graph.layer("1.w")


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
