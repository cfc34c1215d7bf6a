"""Evaluators: all members answer as torch does, what one cannot run is torch's by name, and a choice is kept to."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pruning_core as pc
import sample_models
from pruning_core.model import Model
from pruning_core.ranking import Change, Ranking
from pruning_core.sensitivity import Frontier, Replay, Request
from pruning_core.sensitivity.evaluators import (
    EVALUATORS,
    CannotRun,
    agreement,
    best,
    choice,
    choose,
    onednn,
    suffix,
)
from pruning_core.sensitivity.evaluators.batch import Batch, bounds
from pruning_core.sensitivity.evaluators.rows import Rows
from tests.pruning_core.networks import NETS, Net, prepared, random_mask
from tests.zoo import SMALL

Values = dict[int, Any]
EXACT = [name for name, kind in EVALUATORS.items() if kind.is_exact]


@cache
def replay_of(name: str) -> tuple[Model, Replay]:
    model = prepared(name)[0] if name in NETS else pc.load_model(name)
    return model, Replay(model.graph)


def forks(model: Model, replay: Replay) -> list[Values]:
    """One fork of each layer, in the order of the graph."""
    names = sorted(replay.positions, key=lambda name: replay.positions[name])
    masks = {name: random_mask(model.graph.layer(name).weight_shape) for name in names}
    return [replay.changed(Change({name: mask})) for name, mask in masks.items()]


def examples(name: str, model: Model, n: int) -> Tensor:
    if name in NETS:
        return prepared(name)[1].repeat_interleave(2, 0)[:n]
    return pc.load_data(str(model.data_name)).validation.batch(slice(n))


def assert_alike(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * scale)
    if expected.dim() == 2:
        assert torch.equal(found.argmax(1), expected.argmax(1))


def check(evaluator: str, replay: Replay, frontier: Frontier, changes: list[Values]) -> int:
    """Compare every fork with that of torch; return how many the evaluator ran itself."""
    made, ran = EVALUATORS[evaluator].make(replay), 0
    for changed in changes:
        replay.advance(frontier, replay.route(changed).position)
        expected = replay.fork_changed(frontier, changed)
        try:
            for _ in range(2):  # the second time on what the first one kept
                assert_alike(made.fork(frontier, changed), expected)
            ran += 1
        except CannotRun:
            assert evaluator != "torch"
    return ran


@pytest.mark.parametrize("name", [*sample_models.SAMPLES, *NETS])
@pytest.mark.parametrize("evaluator", EXACT)
@torch.inference_mode()
def test_all_answer_as_torch_does(evaluator: str, name: str) -> None:
    model, replay = replay_of(name)
    changes = forks(model, replay)
    ran = check(evaluator, replay, replay.start(examples(name, model, 6)), changes)
    assert ran == len(changes)


@pytest.mark.parametrize("name", ["shortcut_after_the_fork", "first token", "arithmetic_on_sizes", "vit_fashion"])
@pytest.mark.parametrize("evaluator", EXACT)
@torch.inference_mode()
def test_chunks_are_cut_into_parts(evaluator: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (onednn, suffix):
        monkeypatch.setattr(module, "PART_BYTES", 1)
        monkeypatch.setattr(module, "FEWEST", 2)
    model, replay = replay_of(name)
    changes = forks(model, replay)[:2]
    assert check(evaluator, replay, replay.start(examples(name, model, 5)), changes) == len(changes)


@pytest.mark.parametrize("name", ["shufflenet_v2", "timm:vit"])
@torch.inference_mode()
def test_models_of_libraries(name: str) -> None:
    entry = SMALL[name]
    with torch.inference_mode(False):
        model = Model(name, entry.module(), entry.inputs())
        replay = Replay(model.graph)
    changes = forks(model, replay)[::6]
    for evaluator in EXACT:
        assert check(evaluator, replay, replay.start(*entry.inputs(4)), changes) == len(changes)


@pytest.mark.parametrize("evaluator", EXACT)
@torch.inference_mode()
def test_a_coupled_group_changes_weights_and_vectors_of_several_layers(evaluator: str) -> None:
    model, replay = replay_of("resnet_fashion")
    request = Request(granularity="output_channel")
    ranking = Ranking(model).under(request)
    change = ranking.change("layers.0.conv2", request.wish(0.5))
    assert len(change.masks) > 3
    assert check(evaluator, replay, replay.start(examples("resnet_fashion", model, 6)), [replay.changed(change)])


def row_mask(shape: tuple[int, ...]) -> Tensor:
    kept = torch.rand(shape[0], generator=torch.Generator().manual_seed(1)) < 0.5
    return kept.view(-1, *(1,) * (len(shape) - 1)).expand(shape)


ROWS = {  # layers that are shared, or no convolution or linear layer, run in full
    "lenet_300_100": 3, "shared_module": 1, "tied_weights": 1, "shortcut_after_the_fork": 4,
    "grouped_and_transposed": 2, "norm_in_one_dimension": 2, "first token": 5,
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@torch.inference_mode()
def test_a_layer_with_zeroed_rows_is_not_run_again(name: str) -> None:
    model, replay = replay_of(name)
    frontier, x, reduced = replay.start(examples(name, model, 5)), examples(name, model, 5), 0
    for layer in sorted(replay.positions, key=lambda name: replay.positions[name]):
        replay.advance(frontier, replay.positions[layer])
        changed = replay.changed(Change({layer: row_mask(model.graph.layer(layer).weight_shape)}))
        expected = replay.fork_changed(replay.start(x), changed)
        reduced += not changed.keys() <= Rows(replay).reduce(frontier.copy(), changed).keys()
        for evaluator in EXACT:
            assert_alike(best(replay, {"0": evaluator}).fork(frontier.copy(), changed), expected)
    assert reduced == ROWS[name]


@pytest.mark.parametrize("evaluator", EXACT)
@torch.inference_mode()
def test_the_channels_of_zeroed_rows_are_the_bias_that_is_left(evaluator: str) -> None:
    model, replay = replay_of("resnet_fashion")
    request, name = Request(granularity="output_channel"), "layers.0.conv1"
    changed = replay.changed(Ranking(model).under(request).change(name, request.wish(0.5)))
    frontier = replay.advance(replay.start(examples("resnet_fashion", model, 6)), replay.positions[name])
    expected = replay.fork_changed(frontier.copy(), changed)
    assert len(changed) == 3  # weight and folded bias of this layer, and the weight of the next one
    assert len(Rows(replay).reduce(frontier.copy(), changed)) == 2
    assert_alike(best(replay, {"0": evaluator}).fork(frontier, changed), expected)
    bias = next(place for place, value in changed.items() if value.dim() == 1)
    changed[bias] = changed[bias] + 1
    assert Rows(replay).reduce(frontier, changed).keys() == changed.keys(), "other rows change too"


@pytest.mark.parametrize("name", ["guide_cnn", "mobilenet_fashion", "vit_fashion", "arithmetic_on_sizes"])
@torch.inference_mode()
def test_sixteen_bits_answer_nearly_alike(name: str) -> None:
    model, replay = replay_of(name)
    changes, x = forks(model, replay), examples(name, model, 32)
    made = EVALUATORS["bfloat16"].make(replay)
    for changed in changes[:3]:
        found, expected = made.fork(replay.start(x), changed), replay.fork_changed(replay.start(x), changed)
        assert found.dtype == torch.float32
        assert 0 < float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())
    assert agreement("onednn", replay, replay.start(x), changes[:3]) == 1.0
    assert 0.9 < agreement("bfloat16", replay, replay.start(x), changes[:3]) <= 1.0


def unwritten() -> tuple[Model, Tensor]:
    """A model with an operator that the table of ONNX operators lacks, behind its first layer."""
    torch.manual_seed(0)
    net = Net(lambda n, x: n.b(torch.cumsum(F.relu(n.a(x)), 1)), a=nn.Linear(4, 6), b=nn.Linear(6, 3))
    x = torch.randn(5, 4)
    return Model("unwritten", net.eval(), (x,)), x


@torch.inference_mode()
def test_what_cannot_be_converted_runs_in_torch_and_is_named() -> None:
    with torch.inference_mode(False):
        model, x = unwritten()
        replay = Replay(model.graph)
    first, second = forks(model, replay)
    with pytest.raises(CannotRun, match=r"'aten\.cumsum\.default' is not written in ONNX"):
        EVALUATORS["onnxruntime"].make(replay).fork(replay.start(x), first)
    chosen = best(replay, {"0": "onnxruntime"})
    for changed in (first, second):
        assert_alike(chosen.fork(replay.start(x), changed), replay.fork_changed(replay.start(x), changed))
    place = replay.route(first).position
    assert chosen.refusals == {place: "onnxruntime: 'aten.cumsum.default' is not written in ONNX"}
    assert choose(replay, replay.start(x), [first], ["onnxruntime", "torch"]) == {str(place): "torch"}


class Recorder:
    """An evaluator that notes the places of its forks."""

    def __init__(self, replay: Replay) -> None:
        self.replay, self.places = replay, list[int]()

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        self.places.append(self.replay.route(changed).position)
        return self.replay.fork_changed(frontier, changed)


@torch.inference_mode()
def test_a_choice_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    model, replay = replay_of("guide_cnn")
    made: dict[str, Recorder] = {}

    def recorder(name: str) -> Callable[[Replay], Recorder]:
        return lambda replay: made.setdefault(name, Recorder(replay))

    for name, kind in EVALUATORS.items():
        monkeypatch.setitem(EVALUATORS._members, name, replace(kind, make=recorder(name)))
    changes = forks(model, replay)
    places = [replay.route(changed).position for changed in changes]
    chosen, x = best(replay, {str(places[1]): "onnxruntime", str(places[3]): "onednn"}), examples("guide_cnn", model, 2)
    for changed in changes:
        chosen.fork(replay.start(x), changed)
    assert made["onnxruntime"].places == places[:3]  # the first place was not timed: its neighbour stands for it
    assert made["onednn"].places == places[3:]
    assert made["torch"].places == []
    assert best(replay, {}).name_at(0) == "torch"


@torch.inference_mode()
def test_the_choice_is_the_fastest_at_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model, replay = replay_of("mobilenet_fashion")
    changes, frontier = forks(model, replay), replay.start(examples("mobilenet_fashion", model, 2))
    costs = {"torch": 2.0, "onednn": 1.0, "onnxruntime": 3.0}
    monkeypatch.setattr(choice, "_seconds", lambda made, *_: costs[made])
    for name, kind in EVALUATORS.items():
        monkeypatch.setitem(EVALUATORS._members, name, replace(kind, make=lambda _, name=name: name))
    chosen = choose(replay, frontier, changes)
    assert len(chosen) == choice.PLACES
    assert set(chosen.values()) == {"onednn"}
    assert frontier.position == 0
    assert json.loads(json.dumps(chosen)) == chosen


@torch.inference_mode()
def test_a_choice_is_measured() -> None:
    model, replay = replay_of("lenet_300_100")
    changes = forks(model, replay)
    chosen = choose(replay, replay.start(examples("lenet_300_100", model, 8)), changes)
    assert [int(place) for place in chosen] == [replay.route(changed).position for changed in changes]
    assert set(chosen.values()) <= set(EXACT)


@torch.inference_mode()
def test_one_session_for_all_levels_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, replay = replay_of("guide_cnn")
    made = []
    monkeypatch.setattr(suffix, "_session", lambda model, session=suffix._session: made.append(1) or session(model))
    evaluator, x = EVALUATORS["onnxruntime"].make(replay), examples("guide_cnn", model, 2)
    first, second, *_ = forks(model, replay)
    for changed in (first, first, second, first):
        evaluator.fork(replay.start(x), changed)
    assert len(made) == 2
    monkeypatch.setattr(evaluator, "kept_bytes", 1)
    for changed in (first, second, first):
        evaluator.fork(replay.start(x), changed)
    assert len(made) == 4  # the first was still there; each one after it drove the other out


def test_the_batch_of_values_and_sizes() -> None:
    _, replay = replay_of("arithmetic_on_sizes")
    batch = Batch(replay.nodes)
    by_name = {node.name: i for i, node in enumerate(replay.nodes)}
    assert batch.dim(by_name["conv2d"]) == 0
    size = next(i for name, i in by_name.items() if name.startswith("sym_size"))
    assert batch.is_size(size)
    assert batch.size(size, 7) == 7
    assert bounds(5, 2) == [(0, 1), (1, 3), (3, 5)]
    assert bounds(4, 8) == [(0, 4)]
    assert batch.cut({by_name["conv2d"]: torch.arange(10).view(5, 2)}, 1, 3)[by_name["conv2d"]].tolist() == [
        [2, 3],
        [4, 5],
    ]
