"""Data: preprocessing, batches, choices by seed, and refusals in one sentence."""

import re
from functools import cache
from math import prod

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.data import Dataset, EvalData, Preprocessing, check_fits
from pruning_core.errors import DataError
from pruning_core.graph import ModelGraph, trace
from tests.pruning_core.toys import traced


def examples(n: int = 6, targets: NDArray[np.generic] | None = None, split: str = "test") -> EvalData:
    """n examples of shape (2, 3), counted up."""
    inputs = np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3)
    return EvalData("toy", split, inputs, np.arange(n) if targets is None else targets)


@cache
def net(*shape: int) -> ModelGraph:
    """A graph that takes examples of `shape`, (2, 3) where none is given, and knows six classes."""
    shape = shape or (2, 3)
    return traced(nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 6)), *shape)


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
    assert [len(inputs) for (inputs,), _ in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([inputs for (inputs,), _ in batches]), torch.arange(30.0).reshape(5, 2, 3))
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
        (np.zeros((3, 2)), np.zeros((2, 4)), "3 inputs but 2 targets"),
        (np.zeros((3, 2)), np.zeros((3, 4, 2), int), "targets have shape (3, 4, 2); one class number each is needed"),
        (np.zeros((3, 2)), np.full((3, 4), -100), "example 0 has no target at any position; leave it out"),
        (np.zeros((3, 2)), np.zeros(2, int), "3 inputs but 2 targets"),
        (np.zeros((3, 2)), np.zeros(3, bool), "targets are bool; whole class numbers are needed, or floats"),
        (np.zeros((3, 2)), np.array([0, np.inf, 1]), "target of example 1 is NaN or infinite"),
        (np.array([[1.0], [np.nan]]), None, "the inputs hold NaN or infinite values; finite numbers are needed"),
        (np.array([[1.0], [np.inf]]), None, "the inputs hold NaN or infinite values; finite numbers are needed"),
        (np.array([["a"], ["b"]]), None, "the inputs are <U1; numbers are needed"),
        (np.zeros((2, 0)), None, "the examples have shape (0,), so there is nothing in them"),
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
    check_fits(examples(), net())
    with pytest.raises(DataError, match=r"^data 'toy' has examples of shape \(2, 3\); the model takes \(3, 2\)$"):
        check_fits(examples(), net(3, 2))


@pytest.mark.parametrize(("label", "where"), [(6, "target 6 of example 2"), (-1, "target -1 of example 2")])
def test_labels_out_of_range_are_refused_with_their_place(label: int, where: str) -> None:
    with pytest.raises(DataError, match=f"^data 'toy': {where} is outside 0 to 5$"):
        check_fits(examples(targets=np.array([0, 1, label, 3, label, 5])), net())


def test_a_model_that_gives_one_number_has_no_classes() -> None:
    one = traced(nn.Sequential(nn.Flatten(), nn.Linear(6, 1), nn.Flatten(0)), 2, 3)
    with pytest.raises(DataError, match=r"^the model gives one number for each example; .* or targets that are"):
        check_fits(examples(), one)


WORDS = 7


def tokens(inputs: NDArray[np.generic] | None = None, **changes: object) -> EvalData:
    given = np.array([[0, 3, 6], [1, 1, 5]], np.uint8) if inputs is None else inputs
    return EvalData("text", "test", given, np.array([0, 1]), **{"tokens": True} | changes)


@cache
def reader(kind: torch.dtype) -> ModelGraph:
    """A graph that looks up its input of type `kind`."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(WORDS, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.words(x.long()).mean(1))

    return trace(Reader().eval(), (torch.zeros(2, 3, dtype=kind),))


@pytest.mark.parametrize("kind", ["uint8", ">i4", "int64", "uint32"])
def test_tokens_stay_whole(kind: str) -> None:
    data = tokens(np.array([[0, 2**24 + 1], [1, 5]] if kind != "uint8" else [[0, 255], [1, 5]]).astype(kind))
    batch = data.batch(slice(0, 2))
    assert batch.dtype == torch.int64
    assert batch.tolist() == data.inputs.tolist()  # in float32 the large one would be even
    assert data.take(1).tokens
    ((inputs,), _), *_ = data.batches(1)
    assert inputs.dtype == torch.int64


def test_tokens_and_numbers_are_other_data() -> None:
    plain = tokens(tokens=False)
    assert plain.sha256 != tokens().sha256
    assert plain.batch(slice(0, 1)).dtype == torch.float32
    changed = Dataset("text", "Text", {"test": plain}).as_tokens()
    assert changed.test.sha256 == tokens().sha256
    assert (changed.name, plain.tokens) == ("text", False)


def test_data_of_the_kind_that_a_model_reads_fit() -> None:
    check_fits(tokens(), reader(torch.int64))
    check_fits(tokens(tokens=False), reader(torch.float32))
    check_fits(examples(), net())  # whole pixels for a model of floats


@pytest.mark.parametrize(
    ("inputs", "changes", "message"),
    [
        (np.zeros((2, 3)), {}, "data 'text' holds float64; tokens are whole numbers"),
        (np.array([[0, 1, -1]] * 2), {}, "data 'text': token -1 is below 0"),
        (None, {"preprocessing": Preprocessing(2.0)}, "data 'text' holds tokens, which are read as they are; leave"),
    ],
)
def test_what_is_no_token_is_refused(
    inputs: NDArray[np.generic] | None, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        tokens(inputs, **changes)


@pytest.mark.parametrize(
    ("kind", "inputs", "declared", "message"),
    [
        (torch.int64, None, False, "the model reads tokens, which are whole numbers; say so with tokens=True"),
        (torch.int64, np.zeros((2, 3)), False, "the model reads tokens, which are whole numbers; these are float64"),
        (torch.int64, np.full((2, 3), WORDS), True, "token 7 is outside 0 to 6"),
        (torch.float32, np.full((2, 3), 7.0), False, "token 7 is outside 0 to 6"),
        (torch.float32, np.full((2, 3), -1), False, "token -1 is outside 0 to 6"),
        (torch.float32, None, True, "holds tokens, but the model reads float32; leave tokens=True out"),
    ],
)
def test_data_of_another_kind_than_the_model_reads_are_refused(
    kind: torch.dtype, inputs: NDArray[np.generic] | None, declared: bool, message: str
) -> None:
    with pytest.raises(DataError, match=f"^data 'text':? {re.escape(message)}$"):
        check_fits(tokens(inputs, tokens=declared), reader(kind))


def test_models_of_other_precisions_are_refused_by_what_they_read() -> None:
    message = "^the model reads float64; data are prepared as float32, or as int64 where they are tokens, unless"
    with pytest.raises(DataError, match=message):
        check_fits(examples(), trace(nn.Linear(3, 6).double().eval(), (torch.zeros(1, 2, 3).double(),)))
