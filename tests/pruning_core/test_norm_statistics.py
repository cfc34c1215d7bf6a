"""Batch-norm statistics: exact means, equal to torch's own update_bn, spoiled ones are noticed and mended."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import pruning_core as pc
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import Cancelled, DataError, ModelError
from pruning_core.evaluate import predict
from pruning_core.intervals import paired_difference
from pruning_core.layers import tensor_at
from pruning_core.model import Model, state_hash
from pruning_core.sensitivity import norm_statistics
from pruning_core.sensitivity.norm_statistics import check_norm_statistics, re_estimated, statistics_of

CLASSES = 3


class Net(nn.Module):
    """Some modules in a row."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.row = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.row(x)
        return found


def model_of(*modules: nn.Module, shape: tuple[int, ...] = (2,)) -> Model:
    return Model("toy", Net(*modules).eval(), (torch.zeros(2, *shape),))


def data_of(inputs: object, targets: list[int] | None = None) -> EvalData:
    array = np.asarray(inputs, dtype=np.float32)
    return EvalData("toy", "all", array, None if targets is None else np.array(targets))


def test_statistics_are_those_of_the_examples() -> None:
    model = model_of(nn.BatchNorm1d(2))
    found = re_estimated(model, data_of([[1, 10], [3, 10], [5, 40]])).module.row[0]
    assert found.running_mean.tolist() == [3, 20]
    assert found.running_var.tolist() == [4, 300]  # of a sample: n - 1


def test_a_later_norm_sees_what_the_norms_before_it_give_with_their_new_statistics() -> None:
    first, second = nn.BatchNorm1d(1, eps=0.0), nn.BatchNorm1d(1)
    first.running_mean += 100
    found = re_estimated(model_of(first, second, shape=(1,)), data_of([[1], [3]])).module.row[1]
    assert found.running_mean.tolist() == [0]
    assert found.running_var.tolist() == [2]  # of -1 and 1


def test_batches_weigh_alike_and_a_rest_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm_statistics, "BATCH", 2)
    values = [[0.0], [2.0], [10.0], [30.0], [99.0]]
    data = data_of(values)
    found = re_estimated(model_of(nn.BatchNorm1d(1), shape=(1,)), data)
    used = data.take(4)
    halves = torch.from_numpy(used.inputs).view(2, 2)
    assert found.module.row[0].running_mean.item() == pytest.approx(float(used.inputs.mean()))
    assert found.module.row[0].running_var.item() == pytest.approx(float(halves.var(1).mean()))
    assert found.note == "Its batch-norm statistics were re-estimated on 4 examples of 'toy'."


def test_the_model_itself_is_not_changed_and_the_new_one_has_its_own_name() -> None:
    model = replace(model_of(nn.BatchNorm1d(2)), title="Toy", note="A toy.")
    before = state_hash(model.module)
    found = re_estimated(model, data_of([[1, 10], [3, 10], [5, 40]]))
    norm, own = found.module.row[0], model.module.row[0]
    assert state_hash(model.module) == before != found.sha256
    assert (found.name, found.title) == ("toy+norms", "Toy, batch norms re-estimated")
    assert found.note == "A toy. Its batch-norm statistics were re-estimated on 3 examples of 'toy'."
    assert (norm.momentum, norm.num_batches_tracked) == (own.momentum, own.num_batches_tracked) == (0.1, 0)
    assert not found.module.training


@pytest.fixture(scope="module")
def sample() -> tuple[Model, Dataset]:
    """A ResNet and few of its examples."""
    data = pc.load_data("fashion_mnist")
    few = {"calibration": data.calibration.take(256), "validation": data.validation.take(200)}
    return pc.load_model("resnet_fashion"), replace(data, splits=few)


def test_equal_to_update_bn_of_torch(sample: tuple[Model, Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = sample[0], sample[1].calibration
    expected = deepcopy(model.module)
    update_bn([inputs for (inputs,), _ in data.batches(128)], expected)
    monkeypatch.setattr(norm_statistics, "BATCH", 128)
    found = re_estimated(model, data).module
    for mean_and_variance in statistics_of(model.graph).values():
        for name in mean_and_variance:
            torch.testing.assert_close(tensor_at(found, name), tensor_at(expected, name), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def spoiled(sample: tuple[Model, Dataset]) -> Model:
    """The same weights with means and variances that lag far behind."""
    module = deepcopy(sample[0].module)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.1)
        elif name.endswith("running_var"):
            buffer.mul_(1.5)
    return replace(sample[0], module=module)


def right(model: Model, data: EvalData) -> int:
    return int((predict(model.module, data).argmax(1) == data.labels()).sum())


def test_spoiled_statistics_are_noticed_and_mended(sample: tuple[Model, Dataset], spoiled: Model) -> None:
    model, data = sample
    found, n = check_norm_statistics(spoiled, data), len(data.validation)
    assert (found.improves, found.n) == (True, n)
    assert found.before == right(spoiled, data.validation) / n < 0.5
    assert found.after == right(found.model, data.validation) / n
    assert abs(found.after - right(model, data.validation) / n) <= 0.01
    assert found.change == pytest.approx(found.after - found.before)
    assert found.interval[0] < found.change < found.interval[1]
    assert found.sentence.startswith("The batch-norm statistics disagree with the data: re-estimated on calibration")
    assert f"from {found.before:.1%} to {found.after:.1%}" in found.sentence
    assert found.sentence.endswith("n 200).")


def test_good_statistics_are_no_finding(sample: tuple[Model, Dataset]) -> None:
    model, data = sample
    assert check_norm_statistics(model, data) is None
    unlabelled = {name: replace(split, targets=None) for name, split in data.splits.items()}
    assert check_norm_statistics(model, replace(data, splits=unlabelled)) is None


def test_calibration_data_of_another_kind_are_said_to_be_so(sample: tuple[Model, Dataset]) -> None:
    model, data = sample
    bright = replace(data.calibration, inputs=255 - data.calibration.inputs)
    found = check_norm_statistics(model, replace(data, splits={**data.splits, "calibration": bright}))
    assert not found.improves
    assert found.sentence.startswith("The calibration data differ from those of the training; keep the batch-norm")


def test_without_labels_it_is_said_how_many_answers_change(sample: tuple[Model, Dataset], spoiled: Model) -> None:
    data = sample[1]
    unlabelled = {name: replace(split, targets=None) for name, split in data.splits.items()}
    found = check_norm_statistics(spoiled, replace(data, splits=unlabelled))
    assert (found.before, found.after, found.improves) == (None, None, False)
    assert found.change > 0.5
    assert "without labels nobody knows which are right" in found.sentence


class Repeats(nn.Module):
    """Answers each word of a text with itself, behind a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(4, 4), nn.BatchNorm1d(4, affine=False)
        self.words.weight.data = torch.eye(4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.words(x).transpose(1, 2)).transpose(1, 2)
        return found


def test_models_that_answer_at_each_position_are_judged_by_example() -> None:
    words = np.random.default_rng(0).integers(0, 4, size=(100, 5))
    model = Model("repeats", Repeats(), (torch.zeros(2, 5, dtype=torch.long),))
    model.module.norm.running_mean[0] = 9.0  # word 0 is never the answer
    data = Dataset("text", "Text", {"all": EvalData("text", "all", words, words, tokens=True)})
    found = check_norm_statistics(model, data)
    assert (found.n, found.after) == (100, 1)
    assert found.before == pytest.approx(float((words != 0).mean()))
    assert found.interval == pytest.approx(paired_difference(100 * found.change, 0, 100))


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(1, 2), nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False), nn.Identity()]
)
def test_norms_without_running_statistics_are_left_alone(norm: nn.Module) -> None:
    model = model_of(nn.Linear(2, 2), norm, nn.Linear(2, CLASSES))
    data = data_of([[1, 2], [3, 4]], [0, 1])
    assert check_norm_statistics(model, Dataset("toy", "Toy", {"all": data})) is None
    with pytest.raises(ModelError, match="'toy' has no batch norm that keeps running statistics"):
        re_estimated(model, data)


def test_refusals() -> None:
    model = model_of(nn.BatchNorm1d(2))
    with pytest.raises(DataError, match="data 'toy' has one example"):
        re_estimated(model, data_of([[1, 2]]))
    with pytest.raises(DataError, match="examples of shape"):
        re_estimated(model, data_of([[1, 2, 3], [1, 2, 3]]))
    with pytest.raises(Cancelled, match="stopped after 0 of 2"):
        re_estimated(model, data_of([[1, 2], [3, 4]]), cancelled=lambda: True)
