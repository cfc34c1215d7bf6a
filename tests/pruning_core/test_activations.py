"""Activation sparsity: exact on tiny networks, and on every sample equal to a run of the whole graph."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

import pruning_core as pc
import sample_models
from pruning_core.errors import ModelError, PlanError, UnknownName
from pruning_core.graph import ModelGraph, trace
from pruning_core.sensitivity.activations import ActivationDrop, why_not_activations, without_smallest
from pruning_core.sensitivity.replay import Replay

N = 8
CLOSE = 1e-5  # of the largest output; folding moves values by about 1e-6


class Net(nn.Module):
    """Modules by name, and a function that uses them."""

    def __init__(self, use: Callable[["Net", Tensor], Any], **modules: nn.Module) -> None:
        super().__init__()
        self.use = use
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Any:
        return self.use(self, x)


def identity(n: int) -> nn.Linear:
    layer = nn.Linear(n, n, bias=False)
    layer.weight.data = torch.eye(n)
    return layer


def answers(net: nn.Module, x: Tensor, name: str, level: float) -> Tensor:
    graph = trace(net.eval(), (x,))
    replay = Replay(graph)
    with torch.inference_mode():
        return ActivationDrop(graph, replay, name, level).fork(replay.start(x))


def two_identities() -> Net:
    return Net(lambda n, x: n.b(F.relu(n.a(x))), a=identity(4), b=identity(4))


def test_the_smallest_by_magnitude_are_zero_and_the_others_as_they_were() -> None:
    net = Net(lambda n, x: n.b(n.a(x)), a=identity(4), b=identity(4))
    x = torch.tensor([[3.0, -1.0, 2.0, -4.0], [0.5, 0.1, -0.2, 0.3]])
    assert answers(net, x, "a", 0.5).tolist() == [[3, 0, 0, -4], [0.5, 0, 0, pytest.approx(0.3)]]
    assert answers(net, x, "a", 0.25).tolist()[0] == [3, 0, 2, -4]
    assert torch.equal(answers(net, x, "a", 0.0), x)


def test_among_equals_the_lowest_index_stays() -> None:
    assert without_smallest(torch.ones(1, 4), 0.5, 1).tolist() == [[1, 1, 0, 0]]
    assert without_smallest(torch.tensor([[1.0, -1.0, 2.0, 1.0]]), 0.5, 1).tolist() == [[1, 0, 2, 0]]


def test_zeros_that_a_relu_made_go_first() -> None:
    x = torch.tensor([[5.0, -1.0, 2.0, -4.0]])
    dense = [[5, 0, 2, 0]]
    assert answers(two_identities(), x, "a", 0.5).tolist() == dense
    assert answers(two_identities(), x, "a", 0.75).tolist() == [[5, 0, 0, 0]]


def test_a_convolution_loses_the_smallest_of_the_whole_map() -> None:
    net = Net(lambda n, x: n.b(n.a(x)), a=nn.Conv2d(1, 2, 1, bias=False), b=nn.Conv2d(2, 2, 1, bias=False))
    net.a.weight.data = torch.tensor([1.0, 10.0]).view(2, 1, 1, 1)
    net.b.weight.data = torch.eye(2).view(2, 2, 1, 1)
    found = answers(net, torch.tensor([1.0, 2.0]).view(1, 1, 1, 2), "a", 0.5)
    assert found.tolist() == [[[[0, 0]], [[10, 20]]]]


def test_a_matrix_product_loses_the_smallest_at_each_position() -> None:
    net = Net(lambda n, x: n.b(n.a(x)), a=identity(2), b=identity(2))
    found = answers(net, torch.tensor([[[1.0, 2.0], [30.0, -20.0]]]), "a", 0.5)
    assert found.tolist() == [[[0, 2], [30, 0]]]


@pytest.mark.parametrize(("level", "measured"), [(0.0, 0.0), (0.1, 0.0), (0.3, 0.25), (0.6, 0.5), (0.9, 1.0)])
def test_measured_sparsity_is_what_whole_activations_allow(level: float, measured: float) -> None:
    graph = trace(two_identities().eval(), (torch.zeros(1, 4),))
    cell = ActivationDrop(graph, Replay(graph), "a", level)
    assert (cell.measured_sparsity, cell.macs) == (measured, 16)
    dropped = without_smallest(torch.rand(5, 4) + 1, level, 1)
    assert float((dropped == 0).float().mean()) == measured


def test_the_frontier_stays_and_one_that_is_past_is_refused() -> None:
    graph, x = trace(two_identities().eval(), (torch.zeros(1, 4),)), torch.rand(3, 4)
    replay = Replay(graph)
    cell = ActivationDrop(graph, replay, "a", 0.5)
    frontier = replay.advance(replay.start(x), cell.position)
    first, again = cell.fork(frontier), cell.fork(frontier)
    assert torch.equal(first, again)
    assert torch.equal(replay.outputs(frontier), x)
    with pytest.raises(ValueError, match="past the activations of 'a'"):
        cell.fork(replay.advance(frontier.copy(), replay.end))


def test_what_has_no_meaning_is_refused() -> None:
    shared = Net(lambda n, x: n.b(n.a(n.a(x))), a=identity(4), b=identity(4))
    beside = Net(lambda n, x: (n.a(x), n.c(n.b(x))), a=identity(4), b=identity(4), c=identity(4))
    graphs = [trace(net.eval(), (torch.zeros(1, 4),)) for net in (two_identities(), shared, beside)]
    plain, twice, unread = graphs
    assert why_not_activations(plain, "a") is None
    for graph, name, level, error, text in (
        (plain, "b", 0.5, ModelError, "b: no later layer reads its output"),
        (twice, "a", 0.5, ModelError, "a: its weight is used in 2 places"),
        (unread, "b", 0.5, ModelError, "b: the model's output and its input do not meet there"),
        (plain, "a", 1.0, PlanError, "a: activation sparsity 1 is outside"),
        (plain, "a", -0.1, PlanError, "a: activation sparsity -0.1 is outside"),
        (plain, "c", 0.5, UnknownName, "no prunable layer 'c'"),
    ):
        with pytest.raises(error, match=text):
            ActivationDrop(graph, Replay(graph), name, level)


class Dropping(fx.Interpreter):
    """Runs the traced graph; after node `name` all but the largest of each unit are zero, the first of equals stay."""

    def __init__(self, graph: ModelGraph, name: str, level: float, n_dims: int) -> None:
        super().__init__(graph.module)
        self.name, self.level, self.n_dims = name, level, n_dims

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name != self.name:
            return value
        flat = value.flatten(-self.n_dims)
        order = flat.abs().sort(dim=-1, descending=True, stable=True).indices  # blank patches give many equal values
        kept = order[..., : flat.shape[-1] - round(self.level * flat.shape[-1])]
        return torch.zeros_like(flat).scatter(-1, kept, flat.gather(-1, kept)).view(value.shape)


@pytest.mark.parametrize("name", sample_models.SAMPLES)
@torch.no_grad()
def test_every_layer_of_every_sample_answers_as_the_graph_without_the_smallest(name: str) -> None:
    model = pc.load_model(name)
    inputs = pc.load_data(str(model.data_name)).validation.batch(slice(N))
    replay, graph = Replay(model.graph), model.graph
    refused = [layer.name for layer in graph.layers if why_not_activations(graph, layer.name)]
    assert refused == [graph.layers[-1].name]
    for layer in graph.layers[:-1]:
        cell = ActivationDrop(graph, replay, layer.name, 0.7)
        found = cell.fork(replay.start(inputs))
        n_dims = 3 if layer.kind == "conv2d" else 1
        naive = Dropping(graph, layer.activation.name, 0.7, n_dims).run(inputs)
        assert float((found - naive).abs().max()) <= CLOSE * float(naive.abs().max()), layer.name


@torch.no_grad()
@pytest.mark.parametrize(("name", "layer", "hooked", "n_dims"), [
    ("resnet_fashion", "layers.1.conv2", "layers.1.bn2", 3),
    ("vit_fashion", "layers.0.attention.qkv", "layers.0.attention.qkv", 1),
])  # fmt: skip
def test_a_forward_hook_on_the_module_answers_alike(name: str, layer: str, hooked: str, n_dims: int) -> None:
    model = pc.load_model(name)
    inputs = pc.load_data(str(model.data_name)).validation.batch(slice(N))
    replay = Replay(model.graph)
    found = ActivationDrop(model.graph, replay, layer, 0.6).fork(replay.start(inputs))

    def drop(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        flat = output.flatten(-n_dims)
        smallest = flat.abs().argsort(-1)[..., : round(0.6 * flat.shape[-1])]
        return flat.scatter(-1, smallest, 0.0).view(output.shape)

    handle = model.module.get_submodule(hooked).register_forward_hook(drop)
    try:
        torch.testing.assert_close(found, model.module(inputs), rtol=1e-3, atol=1e-3)
    finally:
        handle.remove()
