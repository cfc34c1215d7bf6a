"""Models that answer at each position: an example counts for the mean over its positions, in sweeps and in metrics."""

from dataclasses import asdict
from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pruning_core as pc
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError, ModelError
from pruning_core.evaluate import Outcome, predict
from pruning_core.intervals import mean_interval, paired_difference, wilson
from pruning_core.metrics import METRICS
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.positions import NO_TARGET, by_example, of_targets
from pruning_core.ranking import Ranking, refuses
from pruning_core.sensitivity.answers import Answers
from pruning_core.sensitivity.order import margins, order_of

WORDS, WIDTH, LENGTH, N = 7, 6, 5, 150
FORWARD = torch.tensor([[0, 1, NO_TARGET], [1, NO_TARGET, NO_TARGET]])  # two sequences of three positions


class NextWord(nn.Module):
    """Guesses the word that comes next from the words so far."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.fc, self.out = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, 8), nn.Linear(8, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        so_far = self.words(x).cumsum(1)
        return self.out(torch.relu(self.fc(so_far)))


def text(n: int = N) -> EvalData:
    words = np.random.default_rng(0).integers(0, WORDS, size=(n, LENGTH), dtype=np.uint16)
    return EvalData("text", "all", words, None, tokens=True).with_next_tokens()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model("next", NextWord(), (torch.zeros(2, LENGTH, dtype=torch.long),))


def test_the_next_token_is_the_target_and_the_last_has_none() -> None:
    data = EvalData("text", "all", np.array([[3, 1, 2], [0, 5, 4]]), None, tokens=True)
    assert data.with_next_tokens().targets.tolist() == [[1, 2, NO_TARGET], [5, 4, NO_TARGET]]
    both = Dataset("text", "Text", {"all": data}).with_next_tokens()
    assert both.validation.labels().tolist() == [[1, 2, NO_TARGET], [5, 4, NO_TARGET]]
    with pytest.raises(DataError, match="holds no sequences of tokens"):
        EvalData("pixels", "all", np.zeros((2, 3)), None).with_next_tokens()


def test_an_example_counts_for_the_mean_of_the_positions_that_have_a_target() -> None:
    values = torch.tensor([[1.0, 2.0, 9.0], [5.0, 9.0, 9.0]])
    assert by_example(values, FORWARD).tolist() == [1.5, 5]
    assert by_example(values[:, 0], None).tolist() == [1, 5]
    assert by_example(values, None).tolist() == [4, pytest.approx(23 / 3)]
    log_p = torch.tensor([[[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]]] * 2)
    assert of_targets(log_p, FORWARD).tolist() == [[-1, -4, 0], [-2, 0, 0]]


def test_tallies_by_hand() -> None:
    sure, unsure = log(9), 0.0  # of two classes: 0.9 or 0.5
    dense = torch.tensor([[[sure, 0.0], [sure, 0.0], [0.0, 9.0]], [[unsure, 0.0], [9.0, 0.0], [9.0, 0.0]]])
    pruned = torch.tensor([[[sure, 0.0], [0.0, sure], [9.0, 0.0]], [[0.0, sure], [0.0, 9.0], [9.0, 0.0]]])
    found = Answers(dense, FORWARD).tally(pruned)
    assert (found.n, found.correct, found.gained, found.lost, found.agreeing) == (2, 2, 1.5, 0, 0.5)
    assert found.loss == pytest.approx(-2 * log(0.9))
    assert found.rise == pytest.approx((log(0.1) - log(0.9)) / 2 + log(0.5) - log(0.9))
    assert found.kl == pytest.approx((0.9 * log(9) - 0.1 * log(9)) / 2 + 0.5 * (log(0.5 / 0.1) + log(0.5 / 0.9)))
    without = Answers(dense, None).tally(pruned)
    assert (without.n, without.agreeing, without.labelled) == (2, pytest.approx(1 / 3 + 1 / 3), False)


def test_one_position_is_as_none() -> None:
    generator = torch.Generator().manual_seed(0)
    dense, pruned = torch.randn(2, 20, 4, generator=generator)
    targets = torch.arange(20) % 4
    plain = Answers(dense, targets).tally(pruned)
    assert isinstance(plain.correct, int)
    found = Answers(dense[:, None], targets[:, None]).tally(pruned[:, None])
    assert asdict(found) == pytest.approx(asdict(plain))
    assert np.array_equal(margins(dense[:, None], targets[:, None]), margins(dense, targets))
    for name in ("accuracy", "loss", "perplexity", "agreement", "kl", "accuracy_drop"):
        by_position = METRICS[name](Outcome(pruned[:, None], targets[:, None], dense[:, None]))
        alone = METRICS[name](Outcome(pruned, targets, dense))
        assert (by_position.value, by_position.interval, by_position.n) == (
            pytest.approx(alone.value),
            pytest.approx(alone.interval),
            alone.n,
        )


def test_positions_that_go_together_do_not_narrow_the_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, dense, targets = *torch.randn(2, 30, 3, generator=generator), torch.arange(30) % 3
    long, long_dense, long_targets = (t.repeat_interleave(8, 0).unflatten(0, (30, 8)) for t in (logits, dense, targets))
    for name in ("accuracy", "loss", "agreement", "accuracy_drop"):
        repeated = METRICS[name](Outcome(long, long_targets, long_dense))
        once = METRICS[name](Outcome(logits, targets, dense))
        assert repeated.interval == pytest.approx(once.interval)


@pytest.mark.parametrize("length", [1, 4])
def test_intervals_hold_the_truth_where_positions_of_a_sequence_are_alike(length: int) -> None:
    """Sequences differ in how well they are answered; 95 % intervals over them hold the mean nearly always."""
    generator, held, rounds, n = np.random.default_rng(0), 0, 400, 60
    for _ in range(rounds):
        skill = generator.beta(2, 1, size=n)  # mean 2 / 3
        shares = (generator.random((n, length)) < skill[:, None]).mean(1)
        low, high = wilson(float(shares.sum()), n)
        held += low <= 2 / 3 <= high
    assert held / rounds >= 0.93


def test_metrics_by_hand() -> None:
    logits = torch.tensor([[[2.0, 0.0], [2.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]])
    outcome = Outcome(logits, FORWARD, -logits)
    right, wrong = log(1 + exp(-2)), log(1 + exp(2))
    accuracy, loss, perplexity = (METRICS[name](outcome) for name in ("accuracy", "loss", "perplexity"))
    assert (accuracy.value, accuracy.n, accuracy.interval) == (0.75, 2, wilson(1.5, 2))
    assert accuracy.how == "75.0% of the positions of 2 examples answered right; Wilson interval of examples"
    assert loss.value == pytest.approx(((right + wrong) / 2 + right) / 2)
    assert loss.interval == pytest.approx(mean_interval(loss.value, abs(wrong - right) / 2 / 2**0.5, 2))
    assert perplexity.value == pytest.approx(exp(loss.value))
    assert perplexity.interval == pytest.approx((exp(loss.interval[0]), exp(loss.interval[1])))
    assert perplexity.how.startswith("exp of the cross entropy, mean over the positions, mean of 2 examples")
    drop = METRICS["accuracy_drop"](outcome)
    assert (drop.value, drop.interval) == (-0.5, pytest.approx(tuple(-x for x in paired_difference(1.5, 0.5, 2)[::-1])))
    seven = torch.zeros(2, 3, 7).index_fill(2, torch.tensor([1]), -1)
    assert METRICS["top5_accuracy"](Outcome(seven, FORWARD)).value == 0.25  # class 0 alone is among the first five


def test_perplexity_of_classes_is_the_number_it_is_as_unsure_as() -> None:
    found = METRICS["perplexity"](Outcome(torch.zeros(3, 8), torch.tensor([0, 5, 7])))
    assert (found.value, found.unit, found.interval) == (pytest.approx(8), "classes", pytest.approx((8, 8)))
    hopeless = METRICS["perplexity"](Outcome(torch.tensor([[0.0, 1e4]] * 2), torch.tensor([0, 0])))
    assert hopeless.value == exp(700)


def naive(module: nn.Module, data: EvalData) -> tuple[float, float]:
    """Accuracy and perplexity over all positions that have a target, as if all were one text."""
    with torch.no_grad():
        logits = module(torch.from_numpy(data.inputs.astype(np.int64)))[:, :-1].flatten(0, 1)
    targets = torch.from_numpy(data.targets[:, :-1]).flatten()
    return float((logits.argmax(1) == targets).double().mean()), exp(float(F.cross_entropy(logits.double(), targets)))


def test_a_sweep_and_a_report_measure_what_a_masked_copy_answers(model: Model) -> None:
    found = pc.sweep(model, text(), pc.Request(levels=(0.5,), exact=True))
    assert {cell.layer for cell in found.cells} == {"words", "fc", "out"}
    for cell, document in zip(found.cells, found.to_dict()["cells"], strict=True):
        plan = Plan().with_layer(cell.layer, sparsity=0.5)
        accuracy, perplexity = naive(pc.apply(plan, model), text())
        assert (cell.tally.n, cell.accuracy) == (N, pytest.approx(accuracy))
        assert document["perplexity"] == pytest.approx(perplexity)
    report = pc.measure(model, text(), plan)
    assert report.masked["accuracy"] == pytest.approx(accuracy)
    assert report.masked["perplexity"] == pytest.approx(perplexity)
    assert report.masked["perplexity_interval"][0] < perplexity < report.masked["perplexity_interval"][1]


def test_without_targets_a_sweep_says_how_many_answers_stay(model: Model) -> None:
    unlabelled = EvalData("text", "all", text().inputs, None, tokens=True)
    cell = pc.sweep(model, unlabelled, pc.Request(levels=(0.5,), layers=("out",), exact=True)).cells[0]
    masked = pc.apply(Plan().with_layer("out", sparsity=0.5), model)
    answers = [predict(module, unlabelled).argmax(-1) for module in (model.module, masked)]
    assert 1 + cell.drop == pytest.approx(float((answers[0] == answers[1]).double().mean()))


def test_the_workbench_measures_them_too(model: Model) -> None:
    bench = pc.Workbench(model, Dataset("text", "Text", {"all": text()}))
    bench.edit("fc", sparsity=0.5)
    estimate = bench.refine(seconds=30)
    assert estimate.accuracy == pytest.approx(naive(pc.apply(bench.plan, model), text())[0])


def test_sequences_are_measured_from_the_least_sure_on() -> None:
    logits = torch.zeros(200, 2, 3)
    logits[:, 0, 0] = torch.arange(200.0)
    order = order_of(logits, torch.zeros(200, 2, dtype=torch.long))
    assert set(np.flatnonzero(order.stratum == 0)) == set(range(10))
    assert sorted(np.concatenate(order.blocks)) == list(range(200))


def test_gradients_are_refused_in_a_sentence(model: Model) -> None:
    why = refuses(Ranking(model, text()), "fc", LayerPlan(sparsity=0.5, criterion="taylor"))
    assert why is not None
    assert "needs one score for each class, and the outputs have shape (5, 7)" in why


def test_targets_that_do_not_fit_are_refused(model: Model) -> None:
    words = text().inputs
    for targets, message in (
        (np.zeros(N, int), r"targets have shape \(150,\); one class number for each position is needed, \(150, 5\)"),
        (np.zeros((N, 4), int), r"targets have shape \(150, 4\); one class number for each position .* \(150, 5\)"),
        (np.full((N, LENGTH), WORDS), "target 7 of example 0 is outside 0 to 6"),
    ):
        with pytest.raises(DataError, match=message):
            pc.sweep(model, EvalData("text", "all", words, targets, tokens=True))
    with pytest.raises(DataError, match=r"targets of shape \(2,\) do not fit outputs of shape \(2, 3, 4\)"):
        Outcome(torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ModelError, match=r"shape \(2, 3, 4, 5\)"):
        Answers(torch.zeros(2, 3, 5), None).tally(torch.zeros(2, 3, 4, 5))
    pixels = Model("pixels", nn.Conv2d(1, 3, 1), (torch.zeros(2, 1, 4, 4),))
    with pytest.raises(DataError, match=r"the model gives \(3, 4, 4\) for each example"):
        pc.sweep(pixels, EvalData("pixels", "all", np.zeros((2, 1, 4, 4), np.float32), np.zeros(2, int)))
