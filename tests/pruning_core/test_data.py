"""Data: preprocessing, batches, choices by seed, and refusals in one sentence."""

import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData, Preprocessing, check_fits
from pruning_core.errors import DataError


def examples(n: int = 6, targets: NDArray[np.generic] | None = None, split: str = "test") -> EvalData:
    """n examples of shape (2, 3), counted up."""
    inputs = np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3)
    return EvalData("toy", split, inputs, np.arange(n) if targets is None else targets)


def test_preprocessing_scales_then_shifts_each_channel() -> None:
    prepared = Preprocessing(scale=0.5, mean=(1.0, 2.0), std=(1.0, 4.0)).apply(torch.tensor([[[2, 4], [4, 12]]]))
    assert prepared.tolist() == [[[0.0, 1.0], [0.0, 1.0]]]


def test_preprocessing_reads_as_a_formula() -> None:
    assert str(Preprocessing(1 / 255, (0.1307,), (0.3081,))) == "(x × 0.003922 − 0.1307) ÷ 0.3081"


@pytest.mark.parametrize("values", [{"scale": 0}, {"scale": -1.0}, {"std": (0.0,)}, {"std": (1.0, -1.0)}])
def test_preprocessing_that_loses_everything_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"must be finite and above zero$"):
        Preprocessing(**values)


@pytest.mark.parametrize(
    "values",
    [{"mean": (float("nan"),)}, {"std": (float("nan"),)}, {"std": ()}, {"scale": float("inf")}, {"mean": ()}],
)
def test_preprocessing_without_a_finite_answer_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(DataError):
        Preprocessing(**values)


def test_as_many_means_as_channels() -> None:
    with pytest.raises(DataError, match=r"^3 values of mean or std do not fit 2 channels$"):
        Preprocessing(mean=(0.0, 0.0, 0.0)).apply(torch.zeros(1, 2, 3))


def test_batches_come_in_order_and_the_last_may_be_smaller() -> None:
    batches = list(examples(5).batches(2))
    assert [len(inputs) for inputs, _ in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]), torch.arange(30.0).reshape(5, 2, 3))
    assert torch.cat([targets for _, targets in batches]).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", ">i8", "uint64"])
def test_targets_of_any_whole_kind_become_int64(kind: str) -> None:
    labels = examples(targets=np.arange(6).astype(kind)).labels()
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4", "uint16", "int64", "uint32"])
def test_inputs_of_any_number_kind_become_float32(kind: str) -> None:
    inputs = np.arange(12).reshape(2, 6).astype(kind)[:, ::-1]
    batch = EvalData("toy", "test", inputs, None).batch(slice(0, 2))
    assert batch.dtype == torch.float32
    assert batch.tolist() == inputs.astype("float32").tolist()


def test_a_batch_by_numbers() -> None:
    data = examples()
    assert torch.equal(data.batch(np.array([4, 0])), torch.stack([data.batch(slice(4, 5))[0], data.batch(slice(1))[0]]))
    assert data.labels(np.array([4, 0])).tolist() == [4, 0]


def test_no_targets() -> None:
    data = EvalData("toy", "test", np.zeros((2, 3)), None)
    assert [targets for _, targets in data.batches(1)] == [None, None]
    with pytest.raises(DataError, match=r"^data 'toy' has no targets$"):
        data.labels()


def test_take_is_chosen_by_the_seed_alone() -> None:
    data = examples(40)
    chosen = data.take(10, seed=1)
    assert len(chosen) == 10
    assert np.array_equal(chosen.inputs[:, 0, 0], chosen.targets * 6 % 256)  # targets stay with their inputs
    assert np.array_equal(chosen.targets, data.take(10, seed=1).targets)
    assert not np.array_equal(chosen.targets, data.take(10, seed=2).targets)
    assert chosen.targets.tolist() == sorted(set(chosen.targets))  # each once, in the order of the data


def test_take_of_all_is_the_same_data() -> None:
    data = examples()
    assert data.take(None) is data
    assert data.take(6) is data
    with pytest.raises(DataError, match=r"^0 samples asked for; at least 1 is needed$"):
        data.take(0)


def test_the_hash_changes_with_inputs_targets_and_preprocessing() -> None:
    inputs, targets = np.zeros((2, 3), np.float32), np.array([0, 1])
    variants = [
        EvalData("a", "test", inputs, targets),
        EvalData("a", "test", inputs + 1, targets),
        EvalData("a", "test", inputs.reshape(2, 1, 3), targets),
        EvalData("a", "test", inputs, targets[::-1]),
        EvalData("a", "test", inputs, None),
        EvalData("a", "test", inputs, targets, Preprocessing(scale=2)),
    ]
    assert len({data.sha256 for data in variants}) == len(variants)
    assert EvalData("b", "validation", inputs.copy(), targets.copy()).sha256 == variants[0].sha256


def test_splits() -> None:
    data = {name: examples(split=name) for name in ("calibration", "validation", "test")}
    dataset = Dataset("toy", "Toy", data)
    assert (dataset.calibration, dataset.validation, dataset.test) == tuple(data.values())
    assert Dataset("toy", "Toy", {"test": data["test"]}).calibration is data["test"]
    with pytest.raises(DataError, match=r"^unknown split 'train'; known: calibration, validation, test$"):
        dataset.split("train")
    assert dataset.with_preprocessing(Preprocessing(scale=2)).test.preprocessing == Preprocessing(scale=2)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((0, 3)), None, "the data has no examples"),
        (np.float64(3), None, "the data has no examples"),
        (np.zeros((3, 2)), np.zeros((3, 1), int), "targets have shape (3, 1); one class number each is needed"),
        (np.zeros((3, 2)), np.zeros((3, 4)), "targets have shape (3, 4); one class number each is needed"),
        (np.zeros((3, 2)), np.zeros(2, int), "3 inputs but 2 targets"),
        (np.zeros((3, 2)), np.zeros(3), "targets are float64; whole class numbers are needed"),
        (np.array([[1.0], [np.nan]]), None, "the inputs hold NaN or infinite values; finite numbers are needed"),
        (np.array([[1.0], [np.inf]]), None, "the inputs hold NaN or infinite values; finite numbers are needed"),
        (np.array([["a"], ["b"]]), None, "the inputs are <U1; numbers are needed"),
        (np.array([[True], [False]]), None, "the inputs are bool; numbers are needed"),
        (np.zeros((2, 1), complex), None, "the inputs are complex128; numbers are needed"),
        (np.array([[{}], [None]]), None, "the inputs are object; numbers are needed"),
    ],
)
def test_what_is_not_data_is_refused_in_a_sentence(
    inputs: NDArray[np.generic], targets: NDArray[np.int64] | None, message: str
) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        EvalData("bad", "test", inputs, targets)


def test_data_that_does_not_fit_the_model_is_refused_by_shape() -> None:
    check_fits(examples(), (2, 3), 6)
    with pytest.raises(DataError, match=r"^data 'toy' has examples of shape \(2, 3\); the model takes \(3, 2\)$"):
        check_fits(examples(), (3, 2), 6)


@pytest.mark.parametrize(("label", "where"), [(6, "target 6 of example 2"), (-1, "target -1 of example 2")])
def test_labels_out_of_range_are_refused_with_their_place(label: int, where: str) -> None:
    with pytest.raises(DataError, match=f"^data 'toy': {where} is outside 0 to 5$"):
        check_fits(examples(targets=np.array([0, 1, label, 3, label, 5])), (2, 3), 6)
