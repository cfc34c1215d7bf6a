"""Data without files: generated inputs, texts for language models, functions, data sets by name."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import DataError, FileRefused, PruningError, UnknownName
from pruning_core.guard.limits import LIMITS
from pruning_core.loaders import load_data, text, torchvision_data
from pruning_core.loaders.trusted import VARIABLE, trust
from pruning_core.sandbox.work import WORK
from tests.pruning_core.loaders.toys import language_model, reader, two_inputs


def test_generated_inputs_have_the_shapes_of_the_model_and_no_labels() -> None:
    model = two_inputs()
    found = load_data("generated:40", model=model)
    data = found.validation
    check_fits(data, model.graph)
    assert data.targets is None
    assert "no labels" in found.note
    words, numbers = data.prepared(slice(None))
    assert (words.shape, numbers.shape) == ((40, 5), (40, 3))
    assert sorted(set(words.flatten().tolist())) == list(range(7))
    assert abs(float(numbers.mean())) < 0.4
    assert data.sha256 == load_data("generated:40", model=model).validation.sha256
    even = load_data("generated:uniform:40", model=reader(3)).validation.inputs
    assert 0 <= even.min() < even.max() <= 1
    assert len(load_data("generated", model=reader(3)).validation) == 256


def test_generated_inputs_need_a_model() -> None:
    with pytest.raises(DataError, match="'generated:4' is made in the shape of a model's inputs; name the model too"):
        load_data("generated:4")
    with pytest.raises(UnknownName):
        load_data("generated:0", model=reader(3))


def test_a_text_is_cut_into_sequences_whose_targets_are_the_next_bytes(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("abcdefghijkl", "utf-8")  # two sequences of 5, and one more byte
    model = language_model()
    found = load_data(str(tmp_path / "book.txt"), model=model)
    data = found.validation
    check_fits(data, model.graph)
    assert bytes(data.inputs[1].astype(np.uint8)) == b"fghij"
    assert bytes(data.labels()[1].numpy().astype(np.uint8)) == b"ghijk"
    assert found.note.startswith("The bytes of the text are its tokens, 2 sequences of 5")


def test_a_long_text_has_three_parts_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(bytes(range(97, 123)) * 2)
    found = load_data(str(tmp_path / "book.txt"), model=language_model())
    assert [len(found.split(name)) for name in ("calibration", "validation", "test")] == [6, 2, 2]
    assert bytes(found.test.inputs[-1].astype(np.uint8)) == bytes(range(97, 123))[-7:-2]


def test_the_tokenizer_of_the_model_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_text("one two three four five six", "utf-8")
    monkeypatch.setattr(text, "_tokenizer", lambda name: lambda words, **_: {"input_ids": [*range(len(words.split()))]})
    found = load_data(str(tmp_path / "book.txt"), model=language_model())
    assert found.validation.inputs.tolist() == [[0, 1, 2, 3, 4]]
    assert found.note.startswith("Tokens of the model's own tokenizer")


@pytest.mark.parametrize(
    ("content", "model", "message"),
    [
        (b"abc", language_model(), "has 3 tokens; the model reads 5 at a time and one more"),
        (b"abcdefgh", language_model(known=7), "knows 7 tokens, fewer than bytes"),
        (b"abcdefgh", reader(5), "'reader' is no model that predicts the token after each one"),
        (b"\xff\xfe", language_model(), "is not UTF-8"),
        (b"abcdefgh", None, "is cut into the tokens of a model; name the model too"),
    ],
)
def test_a_text_that_does_not_fit_is_refused(tmp_path: Path, content: bytes, model: Any, message: str) -> None:
    (tmp_path / "book.txt").write_bytes(content)
    with pytest.raises(PruningError, match=message):
        load_data(str(tmp_path / "book.txt"), model=model)


X, Y = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 2, 0])
FACTORIES = {
    "dataset": lambda: Dataset("mine", "Mine", {"test": EvalData("mine", "test", X, Y)}),
    "data": lambda: EvalData("mine", "test", X, Y),
    "pair": lambda: (torch.from_numpy(X), torch.from_numpy(Y)),
    "named": lambda: {"x": X, "y": Y},
    "items": lambda: torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
}


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine_for_tests")
    vars(module).update(FACTORIES | {"wrong": lambda: 3, "objects": lambda: (np.array([{}]), Y)})
    monkeypatch.setitem(sys.modules, "mine_for_tests", module)
    monkeypatch.setenv(VARIABLE, "[]")


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("name", FACTORIES)
def test_a_function_gives_data_of_many_kinds(name: str) -> None:
    spec = f"mine_for_tests:{name}"
    trust(spec)
    data = load_data(spec, model=reader(3)).test
    assert data.labels().tolist() == Y.tolist()
    assert data.batch(slice(None)).tolist() == X.tolist()
    assert data.source == spec


@pytest.mark.usefixtures("mine")
def test_a_function_is_not_called_unless_it_is_trusted() -> None:
    with pytest.raises(FileRefused) as caught:
        load_data("mine_for_tests:pair")
    assert caught.value.code == "E249"
    for name, message in (
        ("wrong", "gives int"),
        ("objects", "arrays of Python objects"),
        ("none", "has no 'none'"),
    ):
        trust(f"mine_for_tests:{name}")
        with pytest.raises(PruningError, match=message):
            load_data(f"mine_for_tests:{name}")


class Stored:
    """Stands in for a data set of torchvision."""

    classes = ("even", "odd")

    def __init__(self, root: str, train: bool, download: bool = False) -> None:
        if not download:
            raise RuntimeError("Dataset not found")
        self.n = 20 if train else 4

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: int) -> tuple[Image.Image, int]:
        return Image.new("L", (6, 6), number), number % 2


def test_a_data_set_of_torchvision_comes_with_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(torchvision_data.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST", Stored)
    found = load_data("torchvision:MNIST", model=reader(1, 4, 4, outputs=2))
    assert [len(found.split(name)) for name in ("calibration", "validation", "test")] == [18, 2, 4]
    assert found.test.labels().tolist() == [0, 1, 0, 1]
    assert found.test.inputs[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert found.test.class_names == ("even", "odd")


def test_what_cannot_be_downloaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv(torchvision_data.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(datasets, "KMNIST", refuse)
    with pytest.raises(DataError, match=r"could not be downloaded \(no network in tests\); connect, or put it there"):
        load_data("torchvision:KMNIST", model=reader(1, 4, 4))
    with pytest.raises(UnknownName, match=r"did you mean 'CIFAR10'\?"):
        load_data("torchvision:CIFAR1O", model=reader(1, 4, 4))


class Table(list[dict[str, Any]]):
    """Stands in for a data set of Hugging Face."""

    features: Any = None

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def hub(**features: str) -> ModuleType:
    """Return a stand-in for the package `datasets`."""
    table = Table({"image": Image.new("RGB", (4, 4), (i, 0, 0)), "label": i % 2} for i in range(3))
    table.features = {name: type(kind, (), {"names": ["a", "b"]})() for name, kind in features.items()}
    module = ModuleType("datasets")
    vars(module)["load_dataset"] = lambda name: {"train": table, "test": table, "extra": table}
    return module


def test_a_data_set_of_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", hub(image="Image", label="ClassLabel"))
    found = load_data("hf:someone/digits", model=reader(3, 4, 4))
    assert found.test.labels().tolist() == [0, 1, 0]
    assert found.test.inputs[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert found.test.class_names == ("a", "b")
    monkeypatch.setitem(sys.modules, "datasets", hub(text="Value", label="ClassLabel"))
    with pytest.raises(DataError, match="has no column of pictures, only text, label"):
        load_data("hf:someone/words", model=reader(3, 4, 4))
    monkeypatch.setitem(sys.modules, "datasets", hub(image="Image", fine="ClassLabel", coarse="ClassLabel"))
    with pytest.raises(DataError, match=r"say which are meant: \+y@fine"):
        load_data("hf:someone/cifar", model=reader(3, 4, 4))


def test_without_the_package_hugging_face_data_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="pip install datasets"):
        load_data("hf:someone/digits", model=reader(3, 4, 4))


def test_data_of_two_inputs_are_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "[]")
    name = "tests.pruning_core.loaders.toys:two_inputs"
    trust(name)
    found = WORK["data"]({"spec": "generated:4", "model": name}, LIMITS)
    assert found["examples"] == {"validation": 4}
    assert found["notes"][0].startswith("These inputs are made up")
