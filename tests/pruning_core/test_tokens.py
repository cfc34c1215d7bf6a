"""Models of words: whole numbers go in, and everything is measured as for pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.criteria import CRITERIA
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.evaluate import predict
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking, refuses
from pruning_core.statistics import collect

WORDS, WIDTH, HIDDEN, CLASSES, LENGTH, N = 11, 6, 8, 3, 5, 160


class TextClassifier(nn.Module):
    """The mean of its words' vectors, and two layers on it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.fc, self.out = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.fc(self.words(x).mean(1))))


def data(tokens: bool = True) -> EvalData:
    words = np.random.default_rng(0).integers(0, WORDS, size=(N, LENGTH), dtype=np.uint16)
    return EvalData("text", "all", words, np.arange(N) % CLASSES, tokens=tokens)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model("text", TextClassifier(), (torch.zeros(2, LENGTH, dtype=torch.long),))


def correct(module: nn.Module) -> float:
    with torch.no_grad():
        answers = module(torch.from_numpy(data().inputs.astype(np.int64))).argmax(1)
    return float((answers == data().labels()).float().mean())


def test_answers_are_those_of_the_module(model: Model) -> None:
    with torch.no_grad():
        expected = model.module(torch.from_numpy(data().inputs.astype(np.int64)))
    assert torch.equal(predict(model.module, data()), expected)


def test_statistics_of_tokens(model: Model) -> None:
    found = collect(model.graph, data(), {"gradient", "input_norm", "activation_mean"}, batch_size=7)
    module, words = TextClassifier(), torch.from_numpy(data().inputs.astype(np.int64))
    nn.functional.cross_entropy(module(words), data().labels()).backward()
    torch.testing.assert_close(found["words"].gradient, module.words.weight.grad.t())
    counts = torch.bincount(words.flatten(), minlength=WORDS)
    torch.testing.assert_close(found["words"].input_norm, counts.sqrt()[None])
    with torch.no_grad():
        torch.testing.assert_close(found["words"].activation_mean, module.words(words).abs().mean((0, 1)))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_scores_or_says_why_not(model: Model, criterion: str) -> None:
    ranking = Ranking(model, data().take(20))
    for layer in model.graph.by_name:
        wish = LayerPlan(criterion=criterion, granularity="row" if layer != "fc" else "output_channel")
        if CRITERIA[criterion].unit == "input":
            wish = wish.model_copy(update={"granularity": "column"})
        if refuses(ranking, layer, wish) is None:
            assert torch.isfinite(ranking.scores(layer, wish)).all()


def test_a_sweep_measures_what_a_masked_copy_answers(model: Model) -> None:
    found = pc.sweep(model, data(), pc.Request(levels=(0.5,)))
    assert {cell.layer for cell in found.cells} == {"words", "fc", "out"}
    for cell in found.cells:
        masked = pc.apply(Plan().with_layer(cell.layer, sparsity=0.5), model)
        assert cell.accuracy == pytest.approx(correct(masked))


def test_the_workbench_measures_what_a_masked_copy_answers(model: Model) -> None:
    bench = pc.Workbench(model, Dataset("text", "Text", {"all": data()}))
    bench.edit("words", sparsity=0.5, granularity="column", criterion="wanda")
    estimate = bench.refine(seconds=30)
    assert estimate.done
    assert estimate.accuracy == pytest.approx(correct(pc.apply(bench.plan, model, data())))


def test_slimmed_measured_and_written(model: Model, tmp_path: Path) -> None:
    plan = pc.plan_for(model).with_layers(
        {
            "words": {"sparsity": 0.5, "granularity": "output_channel"},
            "fc": {"sparsity": 0.5, "granularity": "output_channel", "criterion": "taylor"},
        }
    )
    slimmed = pc.slim(plan, model, data())
    assert sum(p.numel() for p in slimmed.module.parameters()) == WORDS * 3 + 3 * 4 + 4 + 4 * 3 + 3
    report = pc.measure(model, data(), plan)
    assert report.masked is not None
    paths = pc.export(model, plan, tmp_path, data(), formats=["plan", "onnx"])  # checked on the tokens
    assert all(path.is_file() for path in paths)


def test_tokens_that_were_not_declared_are_refused_everywhere(model: Model) -> None:
    plain = data(tokens=False)
    refused = r"^data 'text': the model reads tokens, which are whole numbers; say so with tokens=True$"
    with pytest.raises(DataError, match=refused):
        pc.sweep(model, plain, pc.Request(levels=(0.5,)))
    with pytest.raises(DataError, match=refused):
        pc.Workbench(model, Dataset("text", "Text", {"all": plain}))
    with pytest.raises(DataError, match=refused):
        pc.measure(model, plain)
    with pytest.raises(DataError, match=refused):
        pc.apply(Plan().with_layer("fc", sparsity=0.5, criterion="wanda"), model, plain)
