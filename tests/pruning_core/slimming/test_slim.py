"""Slimming a model: exact counts, the proof, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.errors import CannotRemove, ExportError, PlanError
from pruning_core.model import Model
from pruning_core.onnx_export import largest_difference, to_onnx
from pruning_core.slimming import TOLERANCE, living_graph, slim
from pruning_core.slimming.rewrites import REWRITES
from pruning_core.slimming.tensors import state_of
from tests.pruning_core.coupling.nets import NETS, Net
from tests.pruning_core.slimming.equal import THROUGH_NORMS, batches_of, coupled, groups_of
from tests.removals import masked_module, random_groups

IMAGE = torch.randn(2, 3, 8, 8)
ROW = torch.randn(2, 7, 5)


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


def test_counts_by_hand() -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    model, removed = Model("net", net, (IMAGE,)), groups_of(coupling, "0.weight", 1, 2, 7)
    masked = masked_module(net, coupling, removed)
    found = slim(model, coupling, removed, masked, batches_of(IMAGE))
    assert (found.kind, type(found.module)) == ("own", nn.Sequential)
    assert found.params == 5 * 27 + 5 + 10 * 5 * 64 + 10
    assert found.macs == 5 * 27 * 64 + 10 * 5 * 64
    assert found.samples == 1 + 2 + 3
    assert found.difference <= TOLERANCE * found.scale
    with torch.inference_mode():
        assert found.scale == max(float(masked(*batch).abs().max()) for batch in batches_of(IMAGE))


def test_values_are_those_of_the_masked_module() -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    removed = groups_of(coupling, "0.weight", 0)
    masked = masked_module(net, coupling, removed)
    masked[3].weight.data[:, ::2] = 0  # single weights as well
    found = slim(Model("net", net, (IMAGE,)), coupling, removed, masked, [])
    assert torch.equal(found.module[3].weight, masked[3].weight[:, 64:])  # type: ignore[index]
    assert found.samples == 4  # the example inputs, and noise


def test_a_forward_that_holds_sizes_becomes_a_graph() -> None:
    net = Net(lambda m, x: m.b(m.a(x).reshape(x.shape[0], 7 * 8)), a=nn.Linear(5, 8), b=nn.Linear(56, 3))
    coupling = coupled(net, ROW)
    removed = groups_of(coupling, "a.weight", 1)
    found = slim(Model("net", net, (ROW,)), coupling, removed, masked_module(net, coupling, removed), [])
    assert found.kind == "graph"
    assert found.module is found.graph
    assert found.params == 7 * 5 + 7 + 49 * 3 + 3


def test_nothing_removed_is_refused() -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    with pytest.raises(PlanError, match="keep all its 5354 parameters: no whole channel"):
        slim(Model("net", net, (IMAGE,)), coupling, np.zeros(0, dtype=np.int64), net, [])


def test_nothing_removed_is_refused_where_weights_are_packed() -> None:
    net, shapes = NETS["decoder"]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs)
    count = sum(parameter.numel() for parameter in net.parameters())
    with pytest.raises(PlanError, match=f"all its {count} parameters"):
        slim(Model("net", net, inputs), coupling, np.zeros(0, dtype=np.int64), net, [])


def test_examples_that_are_zero_prove_nothing_so_noise_does() -> None:
    net = nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    coupling = coupled(net, ROW)
    with pytest.raises(ExportError, match="differently"):
        slim(Model("net", net, (torch.zeros_like(ROW),)), coupling, groups_of(coupling, "0.weight", 1), net, [])


def test_a_number_that_was_forgotten_names_its_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    removed = groups_of(coupling, "0.weight", 1)
    monkeypatch.setitem(REWRITES, "view", lambda site: None)
    with pytest.raises(CannotRemove, match="'net' cannot run without these channels: While executing %view"):
        slim(Model("net", net, (IMAGE,)), coupling, removed, masked_module(net, coupling, removed), [])


def test_a_shape_that_is_not_the_coupling_s_names_its_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(lambda m, x: m.b(m.a(x)).flatten(1) + m.a(x)[:, :4].mean(), a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 2, 1))
    coupling = coupled(net, IMAGE, options=THROUGH_NORMS)
    removed = groups_of(coupling, "a.weight", 0)
    monkeypatch.setitem(REWRITES, "slice", lambda site: None)
    with pytest.raises(CannotRemove, match=r"aten.slice.Tensor \(slice_\d\): its result has shape"):
        slim(Model("net", net, (IMAGE,)), coupling, removed, masked_module(net, coupling, removed), [])


def test_another_answer_than_the_masked_one_is_refused() -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    with pytest.raises(ExportError, match="'net' without the removed channels answers differently from the masked one"):
        slim(Model("net", net, (IMAGE,)), coupling, groups_of(coupling, "0.weight", 1), net, [])


def test_answers_that_are_no_numbers_are_refused() -> None:
    net = small_net()
    coupling = coupled(net, IMAGE)
    removed = groups_of(coupling, "0.weight", 1)
    batch = torch.full_like(IMAGE, float("nan"))
    with pytest.raises(ExportError, match="differently"):
        slim(Model("net", net, (IMAGE,)), coupling, removed, masked_module(net, coupling, removed), [(batch,)])


def test_through_norms_with_packed_weights_and_values_of_the_plan() -> None:
    net, shapes = NETS["decoder"]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs, options=THROUGH_NORMS)
    removed = random_groups(coupling, 0.5, seed=0)
    state = {name: tensor.clone() for name, tensor in state_of(net).items()}
    state["layer.multihead_attn.in_proj_weight"][:, 0] = 0
    masked = living_graph(coupling, removed, state)
    found = slim(Model("net", net, inputs), coupling, removed, masked, batches_of(*inputs))
    assert found.params < sum(parameter.numel() for parameter in net.parameters()) / 2


@pytest.mark.parametrize("name", ["shuffle", "gqa", "transposed_groups"])
def test_onnx_runtime_agrees_at_every_batch(name: str) -> None:
    net, shapes = NETS[name]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs)
    removed = random_groups(coupling, 0.5, seed=0)
    found = slim(
        Model(name, net, inputs), coupling, removed, masked_module(net, coupling, removed), batches_of(*inputs)
    )
    assert largest_difference(to_onnx(found.graph, inputs), found.module, iter(batches_of(*inputs))) <= 1e-4
