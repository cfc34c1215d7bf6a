"""Devices: all levels at once answer as one after another, no tensor is left behind, what is not there is named.

`cpu:0` is the processor by the way that an accelerator takes. Where a tensor would lie on one is seen on fake tensors,
which have shapes and a device but no numbers, and refuse to mix devices.
"""

from functools import cache
from importlib import import_module
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

import pruning_core as pc
from pruning_core.errors import WorkersError
from pruning_core.model import Model
from pruning_core.ranking import Change, Ranking
from pruning_core.sensitivity import Replay, Request, sweep
from pruning_core.sensitivity.evaluators import CannotRun, fork_levels
from tests.pruning_core.networks import NETS, prepared

SAMPLES = ("lenet_300_100", "resnet_fashion", "mobilenet_fashion", "vit_fashion")
LEVELS = (0.3, 0.6, 0.9)
BESIDE = "cpu:0"
# By name: `pruning_core.sensitivity` is the function by now.
CONSTANTS, FORKS = (import_module(f"pruning_core.sensitivity.{name}") for name in ("constants", "forks"))


@cache
def ranked(name: str) -> tuple[Model, Ranking]:
    model = prepared(name)[0] if name in NETS else pc.load_model(name)
    return model, Ranking(model)


def changes(name: str, layer: str) -> list[Change]:
    return [ranked(name)[1].change(layer, Request().wish(level)) for level in LEVELS]


def some_layers(model: Model) -> list[str]:
    """The first, the middle and the last."""
    names = [layer.name for layer in model.graph.layers]
    return list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))


@pytest.mark.parametrize("name", [*SAMPLES, *NETS])
def test_levels_at_once_answer_as_one_after_another(name: str) -> None:
    model = ranked(name)[0]
    replay = Replay(model.graph)
    inputs = prepared(name)[1] if name in NETS else torch.randn(6, *model.graph.input_shapes[0])
    with torch.inference_mode():
        frontier = replay.start(inputs)
        for layer in some_layers(model):
            levels = [replay.changed(change) for change in changes(name, layer)]
            alone = torch.stack([replay.fork_changed(frontier.copy(), changed) for changed in levels])
            torch.testing.assert_close(fork_levels(replay, frontier, levels), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_left_on_the_processor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # whether a mask has dead rows cannot be asked of what has no numbers
    monkeypatch.setattr(CONSTANTS, "_dead_rows", lambda mask: None)
    model = ranked(name)[0]
    wanted = {layer: changes(name, layer) for layer in some_layers(model)}
    here = Replay(model.graph)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        replay = here.to("cuda")
        frontier = replay.start(torch.zeros(2, *model.graph.input_shapes[0]))
        assert replay.outputs(frontier).device.type == "cuda"
        for levels in wanted.values():
            changed = [replay.changed(change) for change in levels]
            assert fork_levels(replay, frontier, changed).device.type == "cuda"
            assert replay.fork_changed(frontier, changed[0]).device.type == "cuda"


@pytest.mark.parametrize("exact", [True, False])
def test_a_sweep_by_the_way_of_an_accelerator_finds_the_same(exact: bool) -> None:
    model = ranked("lenet_300_100")[0]
    data = pc.load_data("mnist").validation.take(300)
    request = Request(levels=LEVELS, exact=exact)
    here, there = sweep(model, data, request), sweep(model, data, request, device=BESIDE)
    figures = [[(cell.layer, cell.sparsity, cell.state, cell.accuracy) for cell in run.cells] for run in (here, there)]
    assert figures[0] == figures[1]
    assert there.cells[0].tally.kl == pytest.approx(here.cells[0].tally.kl, rel=1e-4)


def test_all_levels_of_a_layer_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(replay: Replay, frontier: Any, levels: Any) -> torch.Tensor:
        seen.append(len(levels))
        return fork_levels(replay, frontier, levels)

    monkeypatch.setattr(FORKS, "fork_levels", counted)
    data = pc.load_data("mnist").validation.take(100)
    request = Request(levels=LEVELS, exact=True)
    sweep(ranked("lenet_300_100")[0], data, request)
    assert not seen
    sweep(ranked("lenet_300_100")[0], data, request, device=BESIDE)
    assert set(seen) == {len(LEVELS)}


def test_levels_that_change_different_constants_are_not_stacked() -> None:
    model = ranked("lenet_300_100")[0]
    replay = Replay(model.graph)
    names = [layer.name for layer in model.graph.layers]
    levels = [replay.changed(changes("lenet_300_100", name)[0]) for name in names[:2]]
    with pytest.raises(CannotRun, match="different constants"):
        fork_levels(replay, replay.start(torch.zeros(2, *model.graph.input_shapes[0])), levels)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    data = pc.load_data("mnist").validation.take(10)
    with pytest.raises(WorkersError, match=rf"device '{device}' cannot be used here \(.+\); leave the device out"):
        sweep(ranked("lenet_300_100")[0], data, device=device)


def test_activation_sparsity_stays_on_the_processor() -> None:
    data = pc.load_data("mnist").validation.take(10)
    with pytest.raises(WorkersError, match="leave the device out"):
        sweep(ranked("lenet_300_100")[0], data, Request(target="activations"), device=BESIDE)


def test_levels_that_cannot_run_at_once_run_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("no room for nine levels")

    data, request = pc.load_data("mnist").validation.take(100), Request(levels=LEVELS, exact=True)
    model = ranked("lenet_300_100")[0]
    expected = sweep(model, data, request)
    monkeypatch.setattr(FORKS, "fork_levels", short_of_memory)
    found = sweep(model, data, request, device=BESIDE)
    assert [cell.accuracy for cell in found.cells] == [cell.accuracy for cell in expected.cells]
    assert not found.failed
