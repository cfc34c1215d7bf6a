"""Replay: for awkward networks of every kind, each fork answers as the real module with that weight masked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.errors import DataError, ModelError
from pruning_core.layers import Layer, tensor_at
from pruning_core.model import Model
from pruning_core.sensitivity import Replay
from pruning_core.sensitivity.trust import check_replay
from tests.pruning_core.networks import NETS, Net, prepared, random_mask

torch.set_num_threads(1)


@contextmanager
def masked(module: nn.Module, layer: Layer, mask: Tensor) -> Iterator[None]:
    """The real module with the weight of `layer` masked, for a while."""
    weight = tensor_at(module, layer.parameter)
    before = weight.detach().clone()
    weight.mul_(layer.stored(mask))
    yield
    weight.copy_(before)


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_every_fork_answers_as_the_masked_module(name: str) -> None:
    model, x = prepared(name)
    replay = Replay(model.graph)
    frontier = replay.start(x)
    assert model.graph.layers
    for layer_name in sorted(replay.positions, key=lambda n: replay.positions[n]):
        layer = model.graph.layer(layer_name)
        mask = random_mask(layer.weight_shape)
        with masked(model.module, layer, mask):
            expected = model.module(x)
        replay.advance(frontier, replay.positions[layer_name])
        for start in (frontier, replay.start(x)):
            forked = replay.fork(start, layer_name, replay.weight(layer_name, mask))
            torch.testing.assert_close(forked, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(forked, model.module(x), atol=1e-4), "the mask changes nothing: no test"
    torch.testing.assert_close(replay.outputs(frontier), model.module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_several_masks_at_once_and_a_batch_of_one(name: str) -> None:
    model, x = prepared(name)
    replay, layers = Replay(model.graph), model.graph.layers
    masks = {layer.name: random_mask(layer.weight_shape) for layer in layers}
    constants = replay.constants_with({n: replay.weight(n, mask) for n, mask in masks.items()})
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    copies = [tensor_at(model.module, layer.parameter).clone() for layer in layers]
    for layer in layers:
        tensor_at(model.module, layer.parameter).mul_(layer.stored(masks[layer.name]))
    expected = model.module(x[:1])
    for layer, copy in zip(layers, copies, strict=True):
        tensor_at(model.module, layer.parameter).copy_(copy)
    torch.testing.assert_close(replay.outputs(replay.start(x[:1]), constants), expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.module.state_dict().items())


@torch.no_grad()
def test_complete_keeps_every_value_and_later_forks_use_them() -> None:
    model, x = prepared("shortcut_after_the_fork")
    replay = Replay(model.graph)
    kept, walked = replay.start(x), replay.start(x)
    assert torch.equal(replay.complete(kept), replay.outputs(walked))
    for name, position in replay.positions.items():
        weight = replay.weight(name, random_mask(model.graph.layer(name).weight_shape))
        forks = [replay.fork(replay.advance(frontier.copy(), position), name, weight) for frontier in (kept, walked)]
        assert torch.equal(*forks)
    assert replay.example_bytes * len(x) >= kept.n_bytes - x.nbytes > 0


def test_a_fork_behind_the_frontier_is_a_defect() -> None:
    model, x = prepared("tied_weights")
    replay = Replay(model.graph)
    frontier = replay.advance(replay.start(x), replay.end)
    with pytest.raises(ValueError, match="past layer 'a'"):
        replay.fork(frontier, "a", replay.weight("a", None))


def test_only_the_class_token_is_computed_behind_the_last_keys_and_values() -> None:
    macs = {name: Replay(prepared(name)[0].graph).fork_macs for name in ("first token", "mean of tokens")}
    assert macs["first token"]["fc1"] == 8 * 16 + 16 * 8 + 8 * 3
    assert macs["mean of tokens"]["fc1"] == 7 * (8 * 16 + 16 * 8) + 8 * 3
    assert macs["first token"]["qkv"] < macs["mean of tokens"]["qkv"]


def test_batch_norms_are_folded_where_the_convolution_has_one_use() -> None:
    folded = {name: len(Replay(prepared(name)[0].graph).folded) for name in NETS}
    assert folded["shortcut_after_the_fork"] == 3
    assert folded["grouped_and_transposed"] == 2
    assert folded["norm_without_affine"] == folded["norm_in_one_dimension"] == 1
    assert folded["shared_module_with_norm"] == 0


def test_a_layer_that_does_not_reach_the_output_changes_nothing() -> None:
    class TwoOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.other = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.main(x), self.other(x)

    torch.manual_seed(0)
    module, x = TwoOutputs().eval(), torch.randn(5, 4)
    model = Model("two", module, (x,))
    replay = Replay(model.graph)
    zero = replay.weight("other", torch.zeros(2, 4, dtype=torch.bool))
    torch.testing.assert_close(replay.fork(replay.start(x), "other", zero), module(x)[0])


def refused(use: Callable[[Net, Tensor], Tensor], **modules: nn.Module) -> str:
    torch.manual_seed(0)
    model = Model("net", Net(use, fc=nn.Linear(6, 3), **modules).eval(), (torch.randn(2, 6),))
    with pytest.raises((ModelError, DataError)) as caught:
        check_replay(model, Replay(model.graph), (torch.randn(8, 6),))
    return str(caught.value)


def test_models_that_replay_would_measure_wrongly_are_refused() -> None:
    assert "'net' answers differently each time" in refused(lambda n, x: n.fc(F.dropout(x, training=True)))
    alone = refused(lambda n, x: n.fc(n.norm(x)), norm=nn.BatchNorm1d(6, track_running_stats=False))
    assert "when others are in the batch" in alone
    assert "NaN or infinite" in refused(lambda n, x: n.fc(x).sum(1, keepdim=True).sub(1e9).log().expand(-1, 3))


def test_a_graph_that_differs_from_its_module_is_refused() -> None:
    model, x = prepared("tied_weights")
    replay = Replay(model.graph)
    check_replay(model, replay, (x,))
    with torch.no_grad():
        model.module.c.bias.add_(1.0)
        replay.constants = {i: value.clone() for i, value in replay.constants.items()}
        model.module.c.bias.sub_(1.0)
    with pytest.raises(ModelError, match="traced graph of 'tied_weights' differs from the model by 1"):
        check_replay(model, replay, (x,))
