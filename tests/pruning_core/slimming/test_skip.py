"""Skipped parts leave the graph: exact counts, the proof, source and ONNX Runtime, together with removed channels."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.errors import ExportError
from pruning_core.onnx_export import largest_difference, to_onnx
from pruning_core.slimming import Counts, Slimmed, python_source, slim
from pruning_core.slimming.skip import skipping
from tests.pruning_core.coupling.nets import Net
from tests.pruning_core.slimming.equal import batches_of, calls
from tests.zoo import shaken

LAYER = {"sparsity": 1.0, "granularity": "layer"}
HALF = {"sparsity": 0.5, "granularity": "output_channel"}
IMAGE = torch.randn(2, 3, 6, 6)
ROW = torch.randn(2, 5)


def slimmed(net: nn.Module, x: Tensor, with_onnx: bool = False, **wishes: dict[str, object]) -> Slimmed:
    """Slim a shaken net; the live figures are those of what was built, source and ONNX Runtime answer alike."""
    model = pc.Model("net", shaken(net), (x,))
    plan = pc.plan_for(model).with_layers({name.replace("_", "."): wish for name, wish in wishes.items()})
    batches = batches_of(x)
    found = pc.slim(plan, model, pc.EvalData("noise", "test", torch.cat([b for (b,) in batches]).numpy(), None))
    assert pc.Workbench(model).exact(plan).slimmed == Counts(found.params, found.macs, found.size_bytes)
    masked = pc.apply(plan, model)
    with torch.inference_mode():
        apart = [float((masked(*batch) - model.module(*batch)).abs().max()) for batch in batches]
    assert max(apart) > 1e-2, "skipping changes nothing, so the comparison says nothing"
    names: dict[str, type[nn.Module]] = {}
    exec(compile(python_source(found.graph, "Small"), "small.py", "exec"), names)
    module = names["Small"]().eval()
    module.load_state_dict(found.graph.state_dict())
    with torch.inference_mode():
        assert all(torch.equal(module(*batch), found.graph(*batch)) for batch in batches)
    if with_onnx:
        assert largest_difference(to_onnx(found.module, (x,)), masked, iter(batches)) <= 1e-4 * found.scale
    return found


def block(m: Net, x: Tensor) -> Tensor:
    x = torch.relu(m.a(x))
    x = torch.relu(x + m.norm(m.c(torch.relu(m.b(x)))))
    x = torch.relu(x + m.e(torch.relu(m.d(x))))
    result: Tensor = m.f(x.mean((2, 3)))
    return result


def blocks() -> Net:
    return Net(
        block,
        a=nn.Conv2d(3, 8, 1),
        b=nn.Conv2d(8, 5, 3, padding=1),
        c=nn.Conv2d(5, 8, 1),
        norm=nn.BatchNorm2d(8),
        d=nn.Conv2d(8, 7, 3, padding=1),
        e=nn.Conv2d(7, 8, 1),
        f=nn.Linear(8, 4),
    )


def test_a_branch_leaves_the_model() -> None:
    found = slimmed(blocks(), IMAGE, b=LAYER)
    assert found.kind == "graph"
    assert found.params == (3 * 8 + 8) + (8 * 7 * 9 + 7) + (7 * 8 + 8) + (8 * 4 + 4)
    assert found.macs == 36 * (3 * 8 + 8 * 7 * 9 + 7 * 8) + 8 * 4
    assert not {name for name in found.graph.state_dict() if name.startswith(("b.", "c.", "norm."))}
    assert len(calls(found.graph, "conv2d")) == 3


def test_branches_one_after_the_other() -> None:
    found = slimmed(blocks(), IMAGE, b=LAYER, d=LAYER)
    assert found.params == (3 * 8 + 8) + (8 * 4 + 4)


def test_a_branch_goes_and_channels_of_the_rest() -> None:
    found = slimmed(blocks(), IMAGE, with_onnx=True, b=LAYER, a=HALF, d={**HALF, "sparsity": 3 / 7})
    assert found.params == (3 * 4 + 4) + (4 * 4 * 9 + 4) + (4 * 4 + 4) + (4 * 4 + 4)


def test_a_sum_that_starts_from_a_sum() -> None:
    net = Net(lambda m, x: m.c(twice(m, x)), a=nn.Linear(5, 5), b=nn.Linear(5, 5), c=nn.Linear(5, 3))
    found = slimmed(net, ROW, a=LAYER, b=LAYER)
    assert found.params == 18
    assert not calls(found.graph, "add")
    model = pc.Model("net", net, (ROW,))
    for order in (model.rows.skippable, model.rows.skippable[::-1]):
        assert not calls(skipping(model.coupling, order, np.zeros(0, np.int64)).module, "add")


def twice(m: Net, x: Tensor) -> Tensor:
    x = x + m.a(x)
    result: Tensor = x + m.b(x)
    return result


def plain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 4),
    )


def test_layers_of_a_plain_stack_leave_with_their_norm() -> None:
    found = slimmed(plain(), IMAGE, with_onnx=True, **{"2": LAYER, "5": LAYER})
    assert found.params == (27 * 8 + 8) + (8 * 36 * 4 + 4)
    assert found.macs == 36 * 27 * 8 + 8 * 36 * 4


def test_a_layer_whose_sides_lose_other_channels_stays_and_passes_on_what_both_keep() -> None:
    found = slimmed(plain(), IMAGE, **{"0": HALF, "2": LAYER})
    assert found.params == (27 * 4 + 4) + (8 * 4 * 9 + 2 * 8) + (8 * 8 * 9 + 8) + (8 * 36 * 4 + 4)


def test_a_shortcut_that_the_coupling_names_otherwise() -> None:
    """A channel shuffle is one index in the coupling's graph, and here it is what the branch starts from."""

    def forward(m: Net, x: Tensor) -> Tensor:
        x = m.a(x)
        x = x.view(x.shape[0], 2, 4, 6, 6).transpose(1, 2).reshape(x.shape[0], 8, 6, 6)
        result: Tensor = m.d(x + m.c(torch.relu(m.b(x))))
        return result

    net = Net(forward, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 5, 1), c=nn.Conv2d(5, 8, 1), d=nn.Conv2d(8, 2, 1))
    found = slimmed(net, IMAGE, b=LAYER)
    assert found.params == 32 + 18
    assert len(calls(found.graph, "index_select")) == 1


def test_attention_that_is_skipped() -> None:
    net, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), torch.randn(2, 4, 8)
    found = slimmed(Net(lambda m, y: m.b(m.a(y)), a=net, b=nn.Linear(8, 3)), x, with_onnx=True, a_linear1=LAYER)
    feed_forward = 2 * 8 * 16 + 16 + 8 + 2 * 8  # with its norm
    assert found.params == sum(p.numel() for p in net.parameters()) - feed_forward + 27


def test_two_wishes_for_one_branch_are_refused() -> None:
    model = pc.Model("net", shaken(blocks()), (IMAGE,))
    plan = pc.plan_for(model).with_layers({"b": LAYER, "c": {**LAYER, "criterion": "l2"}})
    with pytest.raises(pc.PruningError, match="c: its channels are coupled with those of 'b'"):
        pc.slim(plan, model)


def test_the_proof_sees_what_a_mask_forgot() -> None:
    model = pc.Model("net", shaken(blocks()), (IMAGE,))
    skipped, none = model.rows.skipped([-1]), np.zeros(0, np.int64)
    with pytest.raises(ExportError, match="answers differently from the masked one"):
        slim(model, model.coupling, none, model.module, batches_of(IMAGE), skipped)


def test_a_model_that_is_skipped_to_its_end_answers_with_its_input() -> None:
    model = pc.Model("net", shaken(nn.Sequential(nn.Linear(5, 5))), (ROW,))
    found = pc.slim(pc.plan_for(model).with_layer("0", **LAYER), model)
    assert (found.params, found.macs) == (0, 0)
    assert torch.equal(found.module(ROW), ROW)
