"""A model of tokens and numbers: everything is measured as for one input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pruning_core as pc
from pruning_core.allocation import timing
from pruning_core.criteria import CRITERIA
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.evaluate import predict
from pruning_core.measure import latency_of
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking, refuses
from pruning_core.statistics import collect
from tests.pruning_core.loaders.toys import two_inputs

N = 90


@pytest.fixture(scope="module")
def model() -> Model:
    return two_inputs()


def data() -> EvalData:
    generator = np.random.default_rng(0)
    words, numbers = generator.integers(0, 7, (N, 5)), generator.standard_normal((N, 3)).astype(np.float32)
    return EvalData("both", "all", words, np.arange(N) % 3, tokens=True, more=(numbers,))


def answers(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return module(*data().prepared(slice(None)))


def correct(module: nn.Module) -> float:
    return float((answers(module).argmax(1) == data().labels()).float().mean())


def test_each_input_comes_as_it_is_read() -> None:
    words, numbers = data().prepared(slice(2, 4))
    assert (words.dtype, numbers.dtype) == (torch.int64, torch.float32)
    assert np.array_equal(numbers.numpy(), data().more[0][2:4])
    with pytest.raises(DataError, match="data 'both' has 2 inputs; use prepared"):
        data().batch(slice(0, 1))
    taken = data().take(5, seed=1)
    assert [len(array) for array in taken.arrays] == [5, 5]
    assert taken.sha256 != data().sha256


def test_the_hash_knows_every_input() -> None:
    one = data()
    other = EvalData("both", "all", one.inputs, one.targets, tokens=True, more=(one.more[0] + 1,))
    assert one.sha256 == data().sha256 != other.sha256


def test_answers_and_statistics_are_those_of_the_module(model: Model) -> None:
    torch.testing.assert_close(predict(model.module, data(), batch_size=40), answers(model.module))
    found = collect(model.graph, data(), {"gradient", "input_norm", "ablation"}, batch_size=7)
    words, numbers = data().prepared(slice(None))
    torch.testing.assert_close(found["fc"].input_norm, numbers.norm(dim=0)[None])
    module = two_inputs().module
    loss = nn.functional.cross_entropy(module(words, numbers), data().labels())
    (gradient,) = torch.autograd.grad(loss, module.get_parameter("fc.weight"))
    torch.testing.assert_close(found["fc"].gradient, gradient)


def test_a_sweep_and_the_workbench_measure_what_a_masked_copy_answers(model: Model) -> None:
    found = pc.sweep(model, data(), pc.Request(levels=(0.5,)))
    assert {cell.layer for cell in found.cells} == {"words", "fc", "out"}
    for cell in found.cells:
        masked = pc.apply(Plan().with_layer(cell.layer, sparsity=0.5), model)
        assert cell.accuracy == pytest.approx(correct(masked))
    bench = pc.Workbench(model, Dataset("both", "Both", {"all": data()}))
    bench.edit("fc", sparsity=0.5, criterion="wanda")
    assert bench.refine(seconds=30).accuracy == pytest.approx(correct(pc.apply(bench.plan, model, data())))


def test_every_criterion_scores_or_says_why_not(model: Model) -> None:
    ranking = Ranking(model, data().take(20))
    for name in CRITERIA:
        wish = LayerPlan(criterion=name, granularity="column" if CRITERIA[name].unit == "input" else "row")
        why = refuses(ranking, "fc", wish)
        assert why is not None or torch.isfinite(ranking.scores("fc", wish)).all()
        assert why is None or "2 inputs" not in why


def test_slimmed_measured_exported_and_timed(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MODEL_SECONDS", 0.01)
    plan = pc.plan_for(model).with_layers({"fc": {"sparsity": 0.5, "granularity": "output_channel"}})
    slimmed = pc.slim(plan, model, data())
    assert slimmed.module.get_parameter("fc.weight").shape == (2, 3)
    report = pc.measure(model, data(), plan)
    assert report.masked is not None
    assert report.certificate["slimmed_vs_onnx_max_abs_diff"] is None
    paths = pc.export(model, plan, tmp_path, data(), formats=["plan", "onnx"])  # checked on both inputs
    assert all(path.is_file() for path in paths)
    inputs = data().prepared(slice(0, 1))
    for runtime in ("torch", "onnxruntime"):
        assert latency_of(model, None, inputs, runtime, 0.01, None).batch == 1
    assert timing.Timings(model).dense_ns > 0
