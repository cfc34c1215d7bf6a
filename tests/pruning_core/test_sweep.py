"""The sweep: equal to the naive loop on every sample, streams cells that narrow, stops when told to."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
import sample_models
from pruning_core.data import EvalData
from pruning_core.errors import DataError, ModelError, PlanError, UnknownName
from pruning_core.layers import Layer, tensor_at
from pruning_core.model import Model
from pruning_core.sensitivity import Cell, Progress, Replay, Request, Store, forks, passes, sweep, worker
from pruning_core.sensitivity.order import PREVIEW
from pruning_core.sensitivity.tasks import Result, Task

torch.set_num_threads(1)

LEVELS = (0.3, 0.6, 0.9)
N = 80  # more than the first block


def smallest_gone(weight: Tensor, sparsity: float) -> Tensor:
    """The mask by hand: sort |w|, the first of equals is kept."""
    magnitudes = weight.abs().contiguous().numpy().ravel()
    order = np.argsort(-magnitudes, kind="stable")
    mask = np.zeros(len(order), dtype=bool)
    mask[order[: len(order) - round(sparsity * len(order))]] = True
    return torch.from_numpy(mask).view(weight.shape)


def naive_answers(module: nn.Module, layer: Layer, mask: Tensor, inputs: Tensor) -> Tensor:
    """Argmax (n,) of the real module with the weight of `layer` masked; the weight is restored."""
    weight = tensor_at(module, layer.parameter)
    before = weight.detach().clone()
    weight.mul_(layer.stored(mask))
    answers = torch.cat([module(batch).argmax(1) for batch in inputs.split(64)])
    weight.copy_(before)
    return answers


def load(name: str) -> tuple[Model, EvalData]:
    if not sample_models.SAMPLES[name].weights_path.exists():
        pytest.skip(f"no weights of {name} yet")
    model = pc.load_model(name)
    return model, pc.load_data(str(model.data_name)).validation.take(N)


@pytest.mark.parametrize("name", sample_models.SAMPLES)
@torch.no_grad()
def test_every_answer_and_every_count_is_that_of_the_naive_loop(name: str) -> None:
    model, data = load(name)
    inputs, targets = data.batch(slice(None)), data.labels()
    dense = model.module(inputs).argmax(1)
    result = sweep(model, data, Request(levels=LEVELS, exact=True))
    assert (len(result.cells), result.skipped, result.exact) == (len(LEVELS) * len(model.graph.layers), {}, True)
    assert result.dense_accuracy == int((dense == targets).sum()) / N
    replay, cells = Replay(model.graph), {(cell.layer, cell.sparsity): cell for cell in result.cells}
    for layer in model.graph.layers:
        frontier = replay.advance(replay.start(inputs), replay.positions[layer.name])
        for level in LEVELS:
            mask = smallest_gone(model.graph.weight(layer.name), level)
            answers = naive_answers(model.module, layer, mask, inputs)
            forked = replay.fork(frontier, layer.name, replay.weight(layer.name, mask)).argmax(1)
            assert torch.equal(forked, answers), (layer.name, level)
            assert counts(cells[layer.name, level]) == by_hand(answers, dense, targets), (layer.name, level)


def counts(cell: Cell) -> tuple[int, ...]:
    tally = cell.tally
    return tally.n, tally.correct, tally.gained, tally.lost, tally.agreeing


def by_hand(answers: Tensor, dense: Tensor, targets: Tensor) -> tuple[int, ...]:
    now, before = answers == targets, dense == targets
    kinds = (now, now & ~before, before & ~now, answers == dense)
    return (len(answers), *(int(kind.sum()) for kind in kinds))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def small() -> Model:
    torch.manual_seed(0)
    return Model("small", Small().eval(), (torch.randn(2, 2, 6, 6),))


def examples(n: int = 300, with_targets: bool = True) -> EvalData:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(n, 2, 6, 6)).astype(np.float32)
    return EvalData("noise", "validation", inputs, generator.integers(0, 3, n) if with_targets else None)


def record(model: Model, data: EvalData, **options: object) -> tuple[list[Progress], pc.sensitivity]:
    seen: list[Progress] = []
    return seen, sweep(model, data, on_progress=seen.append, **options)  # type: ignore[arg-type]


def test_loss_and_kl_are_those_of_torch(small: Model) -> None:
    data = examples()
    inputs, targets = data.batch(slice(None)), data.labels()
    cell = sweep(small, data, Request(levels=(0.5,), layers=("fc",), exact=True)).cells[0]
    masked = pc.apply(pc.Plan().with_layer("fc", sparsity=0.5), small)
    with torch.no_grad():
        logits, dense = masked(inputs), small.module(inputs)
    loss = nn.functional.cross_entropy(logits, targets)
    kl = nn.functional.kl_div(logits.log_softmax(1), dense.softmax(1), reduction="batchmean")
    assert cell.to_dict()["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert cell.to_dict()["kl"] == pytest.approx(float(kl), rel=1e-4)


def test_the_whole_heatmap_comes_first_on_few_examples_then_every_cell_narrows(small: Model) -> None:
    seen, result = record(small, examples(), request=Request(levels=(0.25, 0.5), exact=True))
    first = [progress.cell for progress in seen[:4]]
    assert {(cell.layer, cell.sparsity) for cell in first} == {(n, s) for n in ("conv", "fc") for s in (0.25, 0.5)}
    assert {cell.tally.n for cell in first} == {PREVIEW}
    assert not any(cell.done for cell in first)
    for cell in result.cells:
        widths = [
            np.ptp(p.cell.drop_interval) for p in seen if (p.cell.layer, p.cell.sparsity) == (cell.layer, cell.sparsity)
        ]
        assert len(widths) > 2
        assert widths[-1] < widths[0]
        assert (cell.done, cell.tally.n) == (True, 300)
    assert seen[-1].cells_done == seen[-1].cells_total == 4
    assert result.exact


def test_shares_grow_to_one_and_follow_the_work(small: Model) -> None:
    seen, _ = record(small, examples(), request=Request(levels=(0.25, 0.5), exact=True))
    shares = [progress.share for progress in seen]
    assert all(a <= b for a, b in pairwise(shares))
    assert (shares[-1], seen[-1].seconds_left) == (1.0, 0.0)
    assert shares[1] - shares[0] > 3 * (shares[3] - shares[2])  # conv before fc: a fork at conv costs far more


def test_memory_bounds_the_blocks_and_changes_no_figure(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    request, sizes = Request(exact=True, levels=LEVELS), list[int]()
    _, expected = record(small, examples(600), request=request)
    measure = worker.Worker.measure

    def noted(self: worker.Worker, task: Task, *others: Any) -> Iterator[Result]:
        sizes.append(sum(len(chunk.examples) for chunk in task.chunks))
        return measure(self, task, *others)

    monkeypatch.setattr(worker.Worker, "measure", noted)
    monkeypatch.setattr(passes, "KEPT_BYTES", 1)
    monkeypatch.setattr(worker, "KEPT_BYTES", 1)
    monkeypatch.setattr(worker, "CHUNKS", (50, 50))
    _, result = record(small, examples(600), request=request)
    assert max(sizes) == 50
    assert sum(sizes) == 600
    assert [counts(cell) for cell in result.cells] == [counts(cell) for cell in expected.cells]


def test_cancelled_keeps_the_cells_measured_so_far(small: Model) -> None:
    seen: list[Progress] = []
    request = Request(exact=True)
    result = sweep(small, examples(), request, cancelled=lambda: len(seen) >= 30, on_progress=seen.append)
    assert {progress.cell.state for progress in seen[30:]} <= {"exact"}  # nothing more is measured
    assert not result.exact
    assert len(result.cells) == 18
    assert {cell.tally.n for cell in result.cells} >= {64}
    assert len({cell.tally.n for cell in result.cells}) > 1
    assert result.dense_accuracy is not None


def test_cancelled_at_once_holds_nothing_and_is_not_exact(small: Model) -> None:
    result = sweep(small, examples(), cancelled=lambda: True)
    assert (result.cells, result.exact, result.dense_accuracy) == ((), False, None)


def test_without_labels_agreement_stands_in(small: Model) -> None:
    request = Request(exact=True)
    labelled, result = sweep(small, examples(), request), sweep(small, examples(with_targets=False), request)
    assert [cell.tally.agreeing for cell in result.cells] == [cell.tally.agreeing for cell in labelled.cells]
    cell = result.cells[-1]
    assert (cell.accuracy, cell.drop) == (None, cell.tally.agreeing / 300 - 1)
    assert (result.dense_accuracy, result.dense_loss, result.to_dict()["metric"]) == (None, None, "agreement")


def test_callbacks_run_outside_of_inference_mode(small: Model) -> None:
    modes: list[bool] = []
    sweep(small, examples(), on_progress=lambda _: modes.append(torch.is_inference_mode_enabled()))
    assert set(modes) == {False}


def test_a_criterion_with_gradients_works(small: Model) -> None:
    assert sweep(small, examples(), Request(criterion="taylor", levels=(0.5,), exact=True)).exact


def test_nothing_of_the_model_changes(small: Model) -> None:
    before = {key: tensor.clone() for key, tensor in small.module.state_dict().items()}
    sweep(small, examples())
    assert all(torch.equal(before[key], tensor) for key, tensor in small.module.state_dict().items())


def test_layers_that_do_not_fit_are_skipped_with_the_reason(small: Model) -> None:
    result = sweep(small, examples(), Request("row", "bn_scale", levels=(0.5,)))
    assert [cell.layer for cell in result.cells] == ["conv"]
    assert result.skipped == {"fc": "fc: bn_scale needs a batch norm after the layer; l1 works everywhere"}


def test_two_of_four_has_one_level(small: Model) -> None:
    result = sweep(small, examples(), Request(granularity="n_m", settings={"n": 2, "m": 4}))
    assert [(cell.layer, cell.sparsity, cell.measured_sparsity) for cell in result.cells] == [("fc", 0.5, 0.5)]
    assert "needs inputs in groups of 4" in result.skipped["conv"]


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (Request(levels=(0.5, 1.0)), PlanError, "level 1 is outside 0 to 1"),
        (Request(layers=("fc", "konv")), UnknownName, "no prunable layer 'konv'; did you mean 'conv'"),
        (Request(criterion="l3"), UnknownName, "unknown criterion 'l3'"),
        (Request(granularity="rwo"), UnknownName, "did you mean 'row'"),
        (Request(layers=()), PlanError, "no layer was chosen"),
        (Request(granularity="row", levels=(0.9,)), PlanError, "would remove all 4 blocks"),
    ],
)
def test_refusals(small: Model, request_: Request, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sweep(small, examples(), request_)


def test_a_criterion_without_what_it_needs_is_refused_before_anything_runs(small: Model) -> None:
    with pytest.raises(PlanError, match=r"gradients of the loss .* has none"):
        sweep(small, examples(with_targets=False), Request(criterion="taylor"))


def test_a_cell_whose_outputs_are_infinite_says_so_and_the_others_go_on(small: Model) -> None:
    class Explosive(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / (self.conv.weight[0].abs().sum() > 1e-6).float()

    torch.manual_seed(0)
    model = Model("explosive", Explosive().eval(), small.example_inputs)
    with torch.no_grad():
        model.module.conv.weight[0].mul_(1e-3)
    result = sweep(model, examples(), Request(granularity="row", levels=(0.25, 0.5), exact=True))
    assert {cell.layer for cell in result.failed} == {"conv"}
    assert {(cell.layer, cell.state) for cell in result.cells} == {("fc", "exact")}
    assert "NaN or infinite" in result.failed[0].why


def test_data_of_another_shape_is_refused(small: Model) -> None:
    data = examples()
    with pytest.raises(DataError, match="the model takes"):
        sweep(small, replace(data, inputs=data.inputs[:, :, :5]))


def test_levels_that_remove_the_same_are_measured_once(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str, float]] = []
    fork = forks.WeightForks.fork
    monkeypatch.setattr(
        forks.WeightForks, "fork", lambda self, frontier, *key: measured.append(key) or fork(self, frontier, *key)
    )
    request = Request("row", levels=(0.2, 0.25, 0.3, 0.5), layers=("conv",), exact=True)  # conv has 4 rows
    seen, result = record(small, examples(), request=request)
    assert {level for _, level in measured} == {0.2, 0.5}
    assert [(cell.sparsity, cell.measured_sparsity) for cell in result.cells] == [
        (0.2, 0.25), (0.25, 0.25), (0.3, 0.25), (0.5, 0.5)
    ]  # fmt: skip
    assert len({counts(cell) for cell in result.cells[:3]}) == 1
    assert (result.exact, seen[-1].share, seen[-1].cells_done) == (True, 1.0, 4)


def test_an_adaptive_sweep_stops_early_and_keeps_inside_its_margins(small: Model) -> None:
    model, data = pc.load_model("lenet_300_100"), pc.load_data("mnist").validation
    exact, adaptive = (
        sweep(model, data, Request(levels=(0.3, 0.6, 0.9), exact=is_exact)) for is_exact in (True, False)
    )
    assert not adaptive.exact
    assert sum(cell.tally.n for cell in adaptive.cells) < 0.5 * sum(cell.tally.n for cell in exact.cells)
    for found, whole in zip(adaptive.cells, exact.cells, strict=True):
        assert found.done
        assert abs(found.drop - whole.drop) <= max(0.005, 0.1 * abs(whole.drop)), (found.layer, found.sparsity)


def test_activations_are_swept(small: Model) -> None:
    result = sweep(small, examples(), Request(target="activations", levels=(0.5,), exact=True))
    assert [(cell.layer, cell.state) for cell in result.cells] == [("conv", "exact")]
    assert "fc" in result.skipped


class Counting(Small):
    """Counts its calls in a buffer, and answers as if it did not."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


def test_a_model_that_cannot_be_replayed_is_measured_by_the_plain_loop_and_says_so(small: Model) -> None:
    torch.manual_seed(0)
    counting = Model("counting", Counting().eval(), small.example_inputs)
    request = Request(levels=(0.5,), exact=True)
    result, expected = sweep(counting, examples(), request), sweep(small, examples(), request)
    assert [counts(cell) for cell in result.cells] == [counts(cell) for cell in expected.cells]
    assert result.notices == (
        "'counting' changes its buffer 'calls' while it answers; so the whole model ran for each cell, which is slower",
    )


def test_examples_of_one_class_and_a_single_one_are_measured_with_a_word(small: Model) -> None:
    data = examples()
    one_class = replace(data, targets=np.full(300, 2))
    assert "all 300 examples are of class 2" in sweep(small, one_class, Request(levels=(0.5,))).notices[0]
    result = sweep(small, replace(data, inputs=data.inputs[:1], targets=data.targets[:1]), Request(levels=(0.5,)))
    assert result.notices == ("one example says nothing of others; give more to narrow the intervals",)
    assert np.ptp(result.cells[0].drop_interval) > 1


def test_what_was_kept_is_not_measured_again_and_that_of_other_data_is_not_taken(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, request = Store(tmp_path / "sweeps.sqlite"), Request(levels=(0.5,), exact=True)
    first = sweep(small, examples(), request, store=store)
    with monkeypatch.context() as patch:
        patch.setattr(forks.WeightForks, "fork", lambda *_: pytest.fail("a cell that is kept was measured again"))
        assert sweep(small, examples(), request, store=store).cells == first.cells
    changed = replace(examples(), inputs=examples().inputs + np.float32(0.5))
    assert sweep(small, changed, request, store=store).cells == sweep(small, changed, request).cells != first.cells


def test_a_dense_walk_that_fails_ends_in_a_sentence(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Replay.advance

    def short_of_memory(self: Replay, frontier: Any, *others: Any) -> Any:
        if frontier.values and len(next(iter(frontier.values.values()))) > 4:
            raise RuntimeError("can't allocate memory\nframe #0")
        return advance(self, frontier, *others)

    monkeypatch.setattr(Replay, "advance", short_of_memory)
    monkeypatch.setattr(worker, "KEPT_BYTES", 1)
    with pytest.raises(ModelError, match=r"cannot be run on 64 examples at a time: can't allocate memory; free some"):
        sweep(small, examples(), Request(levels=(0.5,)))
