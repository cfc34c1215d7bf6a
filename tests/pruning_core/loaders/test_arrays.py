"""Arrays by name: splits, single files that stay on the disk, models of several inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.data import EvalData, check_fits
from pruning_core.errors import DataError, FileRefused
from pruning_core.loaders import load_data
from pruning_core.loaders.arrays import by_split, from_arrays
from tests.pruning_core.loaders.toys import reader, two_inputs

X = np.arange(60, dtype=np.float32).reshape(20, 3)


def npz(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_splits_by_name(tmp_path: Path) -> None:
    y = np.arange(20) % 3
    data = load_data(npz(tmp_path, x_train=X, y_train=y, x_val=X[:5], y_val=y[:5], x_test=X[:2], y_test=y[:2]))
    assert {name: len(split) for name, split in data.splits.items()} == {"calibration": 20, "validation": 5, "test": 2}
    assert data.validation.split == "validation"
    assert data.note == ""


def test_without_validation_examples_some_of_training_are_kept_for_it(tmp_path: Path) -> None:
    data = load_data(npz(tmp_path, x_train=X, y_train=np.arange(20), x_test=X[:4], y_test=np.arange(4)))
    assert [len(data.split(name)) for name in ("calibration", "validation", "test")] == [18, 2, 4]
    both = sorted([*data.calibration.labels().tolist(), *data.validation.labels().tolist()])
    assert both == list(range(20))  # none in both, none lost
    assert np.array_equal(data.validation.inputs[:, 0], data.validation.labels().numpy() * 3)
    assert data.note == "2 of 20 training examples, drawn at random, choose; the test examples judge."


def test_what_chooses_stands_for_a_split_that_is_not_there(tmp_path: Path) -> None:
    data = load_data(npz(tmp_path, x_val=X[:5], x_test=X))
    assert data.calibration is data.validation
    data = load_data(npz(tmp_path, x_train=X, x_val=X[:5]))
    assert data.test is data.validation


def test_names_are_read_by_split() -> None:
    one = np.zeros(1)
    found = by_split({"x_train": one, "y_train": one, "x_testing": one, "x": one, "extra_noise": one})
    assert {split: sorted(part) for split, part in found.items()} == {"calibration": ["x", "y"], "test": ["x"]}
    assert sorted(by_split({"x": one, "y_test": one})["all"]) == ["x"]  # targets alone make no split


def test_arrays_of_a_model_of_two_inputs_by_number_and_by_its_names(tmp_path: Path) -> None:
    words, numbers, y = np.arange(20).reshape(4, 5) % 7, np.ones((4, 3)), np.array([0, 1, 2, 0])
    model = two_inputs()
    for arrays in ({"x0": words, "x1": numbers}, {"input_ids": words, "features": numbers}):
        data = load_data(npz(tmp_path, **arrays, y=y), model=model).validation
        check_fits(data, model.graph)
        ids, features = data.prepared(slice(0, 2))
        assert (ids.dtype, features.dtype) == (torch.int64, torch.float32)
        assert ids.tolist() == words[:2].tolist()
        assert features.tolist() == numbers[:2].tolist()
    with pytest.raises(DataError, match=r"^the model takes 2 inputs, but data 'data' gives 1; save them as x0, x1"):
        check_fits(load_data(npz(tmp_path, x=words, y=y), model=model).validation, model.graph)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x1": np.ones((3, 3))}, "4 examples, but 3 of input 1"),
        ({"x1": np.ones((4, 2))}, r"has examples of shape \(2,\) as input 1; the model takes \(3,\)"),
        ({"x1": np.full((4, 3), np.nan)}, "NaN or infinite"),
        ({"x0": np.full((4, 5), 7)}, "token 7 as input 0 is outside 0 to 6"),
        ({"x0": np.full((4, 5), 0.5)}, "tokens are whole numbers"),
    ],
)
def test_a_second_input_is_checked_as_the_first(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arrays = {"x0": np.zeros((4, 5), int), "x1": np.ones((4, 3))} | changes
    with pytest.raises(DataError, match=message):
        check_fits(load_data(npz(tmp_path, **arrays), model=two_inputs()).validation, two_inputs().graph)


def test_single_arrays_stay_on_the_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.arange(20)[:, None] % 3)
    data = load_data(f"{tmp_path}/x.npy+y@{tmp_path}/y.npy", model=reader(3)).validation
    assert isinstance(data.inputs, np.memmap)
    assert data.labels().tolist() == (np.arange(20) % 3).tolist()
    assert data.batch(slice(1, 2)).tolist() == [[3.0, 4.0, 5.0]]
    assert data.sha256 == EvalData("x", "all", X, np.arange(20) % 3).sha256
    assert load_data(f"{tmp_path}/x.npy").validation.targets is None


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00{'descr'", b"PK\x03\x04"])
def test_a_file_that_is_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(FileRefused, match=r"x\.npy' is not a") as caught:
        load_data(f"{tmp_path}/x.npy")
    assert caught.value.code == "E302"


def test_an_array_of_python_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(FileRefused) as caught:
        load_data(f"{tmp_path}/x.npy")
    assert caught.value.code == "E303"
    with pytest.raises(DataError, match="there is no such file"):
        load_data(f"{tmp_path}/none.npy")


finite = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(finite, finite, st.integers(-3, 5)), min_size=1, max_size=6), st.booleans())
def test_arrays_are_taken_whole_or_refused_by_name(rows: list[tuple[float, float, int]], spoilt: bool) -> None:
    x, y = np.array([row[:2] for row in rows], np.float32), np.array([row[2] for row in rows])
    if spoilt:
        x[-1, -1] = np.nan
    out = next((i for i, label in enumerate(y) if not 0 <= label < 3), None)
    if spoilt or out is not None:
        reason = "NaN" if spoilt else f"example {out} is outside 0 to 2"
        with pytest.raises(DataError, match=reason):
            check_fits(from_arrays("data", {"x": x, "y": y}).validation, reader(2).graph)
        return
    data = from_arrays("data", {"x": x, "y": y}).validation
    check_fits(data, reader(2).graph)
    assert np.array_equal(data.batch(slice(None)).numpy(), x)
