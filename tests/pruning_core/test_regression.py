"""Outputs that are numbers: errors by hand, no accuracy, and sweeps by the relative error of the output."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import pruning_core as pc
from explorer.commands.figures import dense_rows, pruned_rows
from explorer.present.headline import known_accuracy
from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import DataError
from pruning_core.evaluate import Outcome, predict
from pruning_core.exporters.report_page import headline
from pruning_core.metrics import METRICS, measurements
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.positions import relative_error
from pruning_core.sensitivity.answers import Answers, Numbers, answers_on
from pruning_core.statistics import collect

N = 120
OUTPUTS, TARGETS = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 4.0, 4.0])


class Net(nn.Module):
    """Two layers that predict `n` numbers."""

    def __init__(self, n: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model("price", Net(1), (torch.zeros(2, 4),))


def data(targets: bool = True) -> EvalData:
    x = np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32)
    return EvalData("homes", "all", x, x[:, 0] - x[:, 1] if targets else None)


def errors(module: nn.Module, model: Model) -> torch.Tensor:
    found, dense = predict(module, data()), predict(model.module, data())
    return ((found - dense).abs() / dense.abs()).clamp(max=1)[:, 0].double()


def test_mean_squared_error_by_hand() -> None:
    found = METRICS["mean_squared_error"](Outcome(OUTPUTS, TARGETS))
    assert found.value == pytest.approx(4 / 3)
    deviation = math.sqrt(((4 / 3) ** 2 * 2 + (8 / 3) ** 2) / 2)
    half = 1.959964 * deviation / math.sqrt(3)
    assert found.interval == pytest.approx((4 / 3 - half, 4 / 3 + half), rel=1e-5)
    two = METRICS["mean_squared_error"](Outcome(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])))
    assert two.value == 2.0  # the mean over the outputs


def test_r2_by_hand() -> None:
    found = METRICS["r2"](Outcome(OUTPUTS, TARGETS))  # targets 1, 4, 4: squares around 3 are 4, 1, 1; one error of 4
    assert found.value == pytest.approx(1 - 4 / 6)
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    even = torch.tensor([-3.0, -1.0, 1.0, 3.0])  # errors that grow with the spread leave their ratio certain
    assert METRICS["r2"](Outcome(even / 2, even)).interval == pytest.approx((0.75, 0.75))
    exact = METRICS["r2"](Outcome(TARGETS, TARGETS))
    assert (exact.value, exact.interval) == (1.0, (1.0, 1.0))
    with pytest.raises(DataError, match="R² cannot be measured: all targets are alike"):
        METRICS["r2"](Outcome(OUTPUTS, torch.ones(3)))


def test_the_interval_of_r2_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(200):
        x, noise = torch.randn(2, 400, generator=generator)
        low, high = METRICS["r2"](Outcome(x, x + noise)).interval or (1, 0)  # half of the variance
        inside += low <= 0.5 <= high
    assert 183 <= inside <= 196


def test_relative_output_error_by_hand() -> None:
    dense = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = torch.tensor([[3.0, 4.5], [0.0, 0.0], [0.0, 1e-9], [9.0, 0.0]])
    assert relative_error(found, dense).tolist() == pytest.approx([0.1, 0.0, 1.0, 1.0])
    outcome = Outcome(found, None, dense, regression=True)
    assert METRICS["relative_output_error"](outcome).value == pytest.approx(2.1 / 4)


def test_accuracy_is_refused_by_name_and_numbers_for_classes() -> None:
    refusal = "^Accuracy cannot be measured: the outputs are numbers to predict, not classes; mean_squared_error and r2"
    with pytest.raises(DataError, match=refusal):
        METRICS["accuracy"](Outcome(OUTPUTS, TARGETS))
    with pytest.raises(DataError, match=r"^Mean squared error cannot be measured: the outputs are class scores"):
        METRICS["mean_squared_error"](Outcome(torch.zeros(2, 3), torch.tensor([0, 1])))
    with pytest.raises(DataError, match=r"targets of shape \(3, 2\) do not fit outputs of shape \(3, 1\)"):
        Outcome(OUTPUTS, torch.zeros(3, 2))


def test_what_is_measured_of_a_model(model: Model) -> None:
    report = pc.measure(model, data(), Plan().with_layer("a", sparsity=0.5))
    assert report.masked is not None
    masked = pc.apply(Plan().with_layer("a", sparsity=0.5), model)
    assert report.masked["mean_squared_error"] == pytest.approx(
        float(nn.functional.mse_loss(predict(masked, data())[:, 0], data().labels())), rel=1e-5
    )
    assert report.dense["relative_output_error"] is report.masked["accuracy"] is None
    rows = {row[0]: row for row in pruned_rows(report.document())}
    assert rows["R²"][1:3] == (f"{report.dense['r2']:.4g}", f"{report.masked['r2']:.4g}")
    assert {"R²", "Mean squared error"} <= {row[0] for row in dense_rows(report)}
    assert {"R²", "Relative output error"} <= {row[0] for row in headline(report)[1]}
    outcome = Outcome(predict(masked, data()), data().labels(), predict(model.module, data()))
    assert set(measurements(outcome)) == {"mean_squared_error", "r2", "relative_output_error"}
    assert METRICS["relative_output_error"](outcome).value == pytest.approx(float(errors(masked, model).mean()))


def test_targets_must_be_as_many_as_outputs(model: Model) -> None:
    check_fits(data(), model.graph)
    two = EvalData("homes", "all", data().inputs, np.zeros((N, 2)))
    refused = "^data 'homes' has 2 numbers to predict for each example, but the model gives 1 numbers"
    with pytest.raises(DataError, match=refused):
        check_fits(two, model.graph)
    with pytest.raises(DataError, match=r"^the model gives one number for each example"):
        check_fits(EvalData("homes", "all", data().inputs, np.zeros(N, int)), model.graph)


def test_gradients_are_those_of_the_squared_error(model: Model) -> None:
    found = collect(model.graph, data(), {"gradient"})
    module = Net(1)
    nn.functional.mse_loss(module(data().batch(slice(None)))[:, 0], data().labels()).backward()
    torch.testing.assert_close(found["a"].gradient, module.a.weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_sweep_measures_the_relative_error_of_a_masked_copy(model: Model, labelled: bool) -> None:
    found = pc.sweep(model, data(labelled), pc.Request(levels=(0.5,), exact=True))
    assert found.dense_accuracy is None
    for cell in found.cells:
        error = errors(pc.apply(Plan().with_layer(cell.layer, sparsity=0.5), model), model)
        assert cell.metric == "agreement"
        assert cell.drop == pytest.approx(-float(error.mean()), abs=1e-5)
        assert cell.to_dict()["kl"] == pytest.approx(float(error.square().mean()) / 2, abs=1e-5)
        assert cell.to_dict()["accuracy"] is None
    assert any("numbers" in notice for notice in found.notices)


def test_the_workbench_measures_it_too(model: Model) -> None:
    bench = pc.Workbench(model, Dataset("homes", "Homes", {"all": data()}))
    bench.edit("a", sparsity=0.5, criterion="taylor")
    found = bench.refine(seconds=30)
    assert found.accuracy is None
    assert not bench.reference.is_scored
    shown = known_accuracy(bench)
    assert shown is not None
    assert (shown.label, shown.value, shown.dense) == ("Agreement of outputs", 1 + found.drop, pytest.approx(1.0))
    assert found.drop == pytest.approx(-float(errors(pc.apply(bench.plan, model, data()), model).mean()), abs=1e-5)


def test_pictures_that_come_out_are_compared_with_those_of_the_dense_model() -> None:
    torch.manual_seed(0)
    model = Model("masks", nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)),
                  (torch.zeros(2, 1, 6, 6),))  # fmt: skip
    x = np.random.default_rng(0).standard_normal((20, 1, 6, 6)).astype(np.float32)
    found = pc.sweep(model, EvalData("x", "all", x, None), pc.Request(levels=(0.5,)))
    dense = predict(model.module, EvalData("x", "all", x, None))
    for cell in found.cells:
        masked = predict(pc.apply(Plan().with_layer(cell.layer, sparsity=0.5), model), EvalData("x", "all", x, None))
        expected = ((masked - dense).flatten(1).norm(dim=1) / dense.flatten(1).norm(dim=1)).mean()
        assert cell.drop == pytest.approx(-float(expected), abs=1e-5)


def test_numbers_and_class_scores_are_told_apart() -> None:
    scores, some = torch.zeros(3, 2), np.arange(3)
    plain = EvalData("x", "all", np.zeros((3, 1)), None)
    assert type(answers_on(plain, some, scores)) is Answers
    assert type(answers_on(plain, some, torch.zeros(3, 1))) is Numbers
    assert type(answers_on(plain, some, torch.zeros(3))) is Numbers
    said = EvalData("x", "all", np.zeros((3, 1)), None, regression=True)
    assert type(answers_on(said, some, scores)) is Numbers
    assert said.sha256 != plain.sha256
