"""Loaders: samples, archives of every wrong kind, torchvision without a network, and names that were meant."""

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from pruning_core.data import Preprocessing, check_fits
from pruning_core.errors import DataError, ModelError, UnknownName
from pruning_core.loaders import DATA_LOADERS, MODEL_LOADERS, load_data, load_model, preset
from pruning_core.loaders.re_estimated import spec_of
from pruning_core.model import Model
from pruning_core.sensitivity import norm_statistics
from pruning_core.sensitivity.norm_statistics import re_estimated
from tests.pruning_core.toys import traced

X, Y = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([0, 2, 1])


def archive(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "digits.npz", **arrays)
    return str(folder / "digits.npz")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained weights cannot be had, and are not even asked for over a wire."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", refuse)


def test_a_sample_comes_with_its_example_source_and_preprocessing() -> None:
    model = load_model("lenet_300_100")
    assert model.example_inputs[0].shape == (2, 1, 28, 28)
    assert (model.data_name, model.module.training) == ("mnist", False)
    assert model.preprocessing == load_data("mnist").test.preprocessing == Preprocessing(1 / 255, (0.1307,), (0.3081,))
    assert model.architecture is not None
    scope: dict[str, Any] = {}
    exec(model.architecture.source, scope)  # our own file
    rebuilt = eval(model.architecture.expression, scope)
    assert rebuilt.state_dict().keys() == model.module.state_dict().keys()


def test_sample_data_come_in_three_splits_that_share_no_example() -> None:
    data = load_data("fashion_mnist")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "calibration": 8000,
        "validation": 2000,
        "test": 10000,
    }
    assert data.test.inputs.shape[1:] == (1, 28, 28)
    assert data.test.class_names[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("lenet", "did you mean 'lenet_300_100'?"),
        ("LeNet-300-100", "did you mean 'lenet_300_100'?"),
        ("lenet_300_10", "did you mean 'lenet_300_100'?"),
        ("resnet18", "did you mean 'torchvision:resnet18'?"),
        ("torchvison:resnet18", "did you mean 'torchvision:resnet18'?"),
        ("xyzzy", "it can be a sample's name, MODEL+norms@DATA, "),
    ],
)
def test_an_unknown_model_is_refused_with_the_name_that_was_meant(spec: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(f"unknown model '{spec}'; {meant}")):
        load_model(spec)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [("mnits", "did you mean 'mnist'?"), ("Fashion", "did you mean 'fashion_mnist'?"), ("x.abc", "file.npz with x")],
)
def test_unknown_data_are_refused_with_the_name_that_was_meant(spec: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(f"unknown data '{spec}'; ") + ".*" + re.escape(meant)):
        load_data(spec)


def test_every_loader_says_how_its_names_are_written() -> None:
    assert all(loader.form for loader in (*MODEL_LOADERS.values(), *DATA_LOADERS.values()))


def test_an_archive_serves_for_every_split(tmp_path: Path) -> None:
    data = load_data(archive(tmp_path, x=X, y=Y))
    assert data.name == "digits"
    assert data.validation.split == "all"
    assert data.validation is data.test is data.calibration
    assert data.test.inputs.shape == (3, 1, 4, 4)
    assert data.test.labels().tolist() == [0, 2, 1]


def test_an_archive_without_targets_is_unlabelled(tmp_path: Path) -> None:
    assert load_data(archive(tmp_path, x=X)).test.targets is None


@pytest.mark.parametrize("y", [Y[:, None], Y.astype(np.uint8), Y.astype(">i4")])
def test_targets_become_class_numbers(tmp_path: Path, y: Any) -> None:
    assert load_data(archive(tmp_path, x=X, y=y)).test.labels().tolist() == [0, 2, 1]


@pytest.mark.parametrize("x", [X.astype(">f4"), X.astype(np.float16), X.astype(np.uint16), X.astype(np.longdouble)])
def test_inputs_of_every_number_type_are_prepared(tmp_path: Path, x: Any) -> None:
    batch = load_data(archive(tmp_path, x=x)).test.batch(slice(1, 2))
    assert batch.dtype == torch.float32
    assert batch.flatten().tolist() == list(range(16, 32))


BAD_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"images": X}, "holds 'images' but no array 'x'; save it with numpy.savez(file, x=inputs, y=labels)"),
    ({}, "holds nothing but no array 'x'"),
    ({"x": X, "y": Y[:2]}, "3 inputs but 2 targets"),
    ({"x": X, "y": np.full(3, np.nan)}, "target of example 0 is NaN or infinite"),
    ({"x": X, "y": np.array(["a", "b", "c"])}, "whole class numbers are needed"),
    ({"x": X[:0]}, "the data has no examples"),
    ({"x": np.float32(1)}, "the data has no examples"),
    ({"x": np.full((2, 3), np.nan)}, "NaN or infinite"),
    ({"x": np.array(["a"])}, "numbers are needed"),
    ({"x": np.array([{}, []], dtype=object)}, "it is not a plain NumPy archive (or damaged, or pickled)"),
]


@pytest.mark.parametrize(("arrays", "reason"), BAD_ARRAYS)
def test_an_archive_of_other_things_is_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        load_data(archive(tmp_path, **arrays))


def half(good: bytes) -> bytes:
    return good[: len(good) // 2]


def damaged(good: bytes) -> bytes:
    return good[:200] + bytes(b ^ 255 for b in good[200:260]) + good[260:]


def single(_: bytes) -> bytes:
    np.save(buffer := io.BytesIO(), X)
    return buffer.getvalue()


def boastful(_: bytes) -> bytes:
    """An array that claims 10^18 numbers."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as written:
        written.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return buffer.getvalue()


MAKERS: list[Callable[[bytes], bytes]] = [
    *(half, damaged, single, boastful),
    *(
        lambda _: b"",
        lambda _: b"not an archive",
        lambda _: pickle.dumps({"x": 1}),
        lambda _: b"PK\x05\x06" + bytes(18),
    ),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, make: Callable[[bytes], bytes]) -> None:
    np.savez_compressed(
        tmp_path / "good.npz", x=np.random.default_rng(0).integers(0, 255, (9, 8, 8), np.uint8), y=np.arange(9)
    )
    (tmp_path / "bad.npz").write_bytes(make((tmp_path / "good.npz").read_bytes()))
    with pytest.raises(DataError, match=r"bad\.npz'"):
        load_data(str(tmp_path / "bad.npz"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read '.*nowhere\.npz': there is no such file"):
        load_data(str(tmp_path / "nowhere.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match=r"cannot read '.*folder\.npz': Is a directory"):
        load_data(str(tmp_path / "folder.npz"))


def test_labels_outside_the_classes_are_refused_at_use(tmp_path: Path) -> None:
    data = load_data(archive(tmp_path, x=X, y=np.array([0, 7, -1]))).test
    with pytest.raises(DataError, match="data 'digits': target 7 of example 1 is outside 0 to 2"):
        check_fits(data, traced(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 1, 4, 4))


PIXELS = Preprocessing(1 / 255, (0.5,), (0.25,))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (X, PIXELS),
        (X.astype(np.float32), PIXELS),
        (X / 255, Preprocessing(1.0, (0.5,), (0.25,))),
        (X - 24.0, None),
    ],
)
def test_raw_pixels_are_prepared_as_the_model_was_trained(
    tmp_path: Path, x: Any, expected: Preprocessing | None
) -> None:
    model = Model("toy", torch.nn.Flatten(), (torch.zeros(2, 1, 4, 4),), preprocessing=PIXELS)
    path = archive(tmp_path, x=x)
    assert preset(model, load_data(path)) == expected
    assert load_data(path, model=model).test.preprocessing == (expected or Preprocessing())
    own = Preprocessing(2.0)
    assert load_data(path, own, model).test.preprocessing == own
    assert load_data(path).test.preprocessing == Preprocessing()


def test_sequences_get_no_channel_where_the_model_takes_none(tmp_path: Path) -> None:
    path = archive(tmp_path, x=X)
    assert load_data(path).test.inputs.shape == (3, 1, 4, 4)
    sequences = Model("sequences", nn.Linear(4, 2), (torch.zeros(2, 4, 4),))
    assert np.array_equal(load_data(path, model=sequences).test.inputs, X)


def test_whole_numbers_are_tokens_where_the_model_reads_such(tmp_path: Path) -> None:
    words = Model("words", nn.Embedding(9, 4), (torch.zeros(2, 3, dtype=torch.long),))
    path = archive(tmp_path, x=np.array([[0, 8, 1]]))
    assert not load_data(path).test.tokens
    assert load_data(path, model=words).test.batch(slice(0, 1)).tolist() == [[0, 8, 1]]
    with pytest.raises(DataError, match=r"^data 'digits' holds tokens, which are read as they are; leave scale"):
        load_data(path, Preprocessing(2.0), words)
    with pytest.raises(DataError, match=r"^data 'digits' holds float64; tokens are whole numbers$"):
        load_data(archive(tmp_path, x=np.zeros((2, 3))), model=words)


def test_sample_data_keep_their_own_preprocessing() -> None:
    model = Model("toy", torch.nn.Flatten(), (torch.zeros(2, 1, 28, 28),), preprocessing=PIXELS)
    assert load_data("mnist", model=model).test.preprocessing.mean == (0.1307,)


@pytest.mark.usefixtures("no_network")
def test_torchvision_without_a_network_is_random_and_says_so() -> None:
    first, second = load_model("torchvision:squeezenet1_1"), load_model("torchvision:squeezenet1_1")
    assert first.note.startswith("random weights: the trained ones could not be downloaded")
    assert first.sha256 == second.sha256
    assert first.example_inputs[0].shape == (2, 3, 224, 224)
    assert first.preprocessing == Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_torchvision_weights_that_come_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {name: value + 1 for name, value in models.squeezenet1_1().state_dict().items()}
    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", lambda *_, **__: state)
    model = load_model("torchvision:squeezenet1_1")
    assert model.note == "trained weights SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_torchvision_models_can_be_built_again_from_source(name: str) -> None:
    model = load_model(f"torchvision:{name}")
    assert model.architecture is not None
    scope: dict[str, Any] = {}
    exec(model.architecture.source, scope)  # our own line
    rebuilt = eval(model.architecture.expression, scope)
    rebuilt.load_state_dict(model.module.state_dict())


def test_a_misspelt_torchvision_model_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"torchvision has no model 'resnet81'; did you mean 'resnet18'\?"):
        load_model("torchvision:resnet81")


def test_a_model_is_loaded_with_the_batch_norm_statistics_of_some_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm_statistics, "EXAMPLES", 256)
    model = load_model("resnet_fashion")
    spec = spec_of("resnet_fashion", "fashion_mnist")
    found = load_model(spec)
    again = re_estimated(model, load_data("fashion_mnist", model=model).calibration)
    assert (spec, found.name) == ("resnet_fashion+norms@fashion_mnist", spec)
    assert found.sha256 == again.sha256 != model.sha256  # the name says it all
    assert found.title.endswith("batch norms re-estimated")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet_fasion+norms@fashion_mnist", "did you mean 'resnet_fashion'"),
        ("resnet_fashion+norms@fashion_mnst", "did you mean 'fashion_mnist'"),
        ("resnet_fashion+norms@", "it is written MODEL[+]norms@DATA"),
    ],
)
def test_statistics_of_unknown_data_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        load_model(spec)


def test_a_model_without_batch_norms_has_no_statistics_to_estimate() -> None:
    with pytest.raises(ModelError, match="'lenet_300_100' has no batch norm"):
        load_model("lenet_300_100+norms@mnist")
