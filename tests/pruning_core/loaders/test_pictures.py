"""Pictures by class: folders, zips, sizes, grey and colours, and what cannot be read."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pruning_core.data import check_fits
from pruning_core.errors import DataError, FileRefused
from pruning_core.loaders import load_data, pictures
from pruning_core.loaders.picture_tree import class_numbers, placed
from pruning_core.loaders.pictures import Format, Picture, decode
from tests.pruning_core.loaders.toys import reader

RED = (255, 0, 0)


def png(size: tuple[int, int] = (4, 4), colour: Any = RED, mode: str = "RGB", kind: str = "PNG") -> bytes:
    Image.new(mode, size, colour).save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


def noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def tree(root: Path, files: dict[str, bytes], zipped: bool = False) -> str:
    if zipped:
        with zipfile.ZipFile(root / "photos.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return str(root / "photos.zip")
    for name, content in files.items():
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "photos" / name).write_bytes(content)
    return str(root / "photos")


CATS = {"cat/1.png": png(), "cat/2.jpg": png(kind="JPEG"), "dog/1.png": png(colour=(0, 0, 255)), "notes.txt": b"no"}


@pytest.mark.parametrize("zipped", [False, True])
def test_folders_are_classes_in_alphabetical_order(tmp_path: Path, zipped: bool) -> None:
    model = reader(3, 4, 4)
    found = load_data(tree(tmp_path, CATS, zipped), model=model)
    data = found.validation
    assert data.labels().tolist() == [0, 0, 1]
    assert data.class_names == ("cat", "dog")
    assert data.inputs.dtype == np.uint8
    assert data.inputs[0, :, 0, 0].tolist() == [255, 0, 0]
    assert data.inputs[2, :, 0, 0].tolist() == [0, 0, 255]
    assert found.note.startswith("Classes by folder: cat is class 0, dog is class 1; the model knows 3. Pictures are")
    check_fits(data, model.graph)


def test_pictures_are_read_in_the_size_and_colours_of_the_model(tmp_path: Path) -> None:
    wide = Image.new("RGB", (8, 4), (0, 0, 0))
    wide.paste((255, 255, 255), (2, 0, 6, 4))  # the middle half
    wide.save(buffer := io.BytesIO(), "PNG")
    spec = tree(tmp_path, {"a/1.png": buffer.getvalue()})
    whole = load_data(spec, model=reader(1, 4, 4)).validation.inputs
    assert whole.shape == (1, 1, 4, 4)
    assert (whole == 255).all()  # the centre
    stretched = load_data(f"{spec}+resize@stretch", model=reader(1, 4, 4)).validation.inputs
    assert stretched.min() < 128 < stretched.max()
    assert load_data(spec, model=reader(6, 12, 3)).validation.shapes == ((6, 12, 3),)  # channels last, made larger
    assert load_data(f"{spec}+resize@none", model=reader(3, 4, 8)).validation.inputs.shape == (1, 3, 4, 8)


def test_the_order_of_colours(tmp_path: Path) -> None:
    spec = tree(tmp_path, CATS)
    batch = load_data(f"{spec}+channels@bgr", model=reader(3, 4, 4)).validation.batch(slice(0, 1))
    assert batch[0, :, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("zipped", [False, True])
def test_splits_are_folders_around_the_classes(tmp_path: Path, zipped: bool) -> None:
    files = {f"{part}/{kind}/{i}.png": png() for part in ("train", "Val", "test") for kind in "ab" for i in range(2)}
    data = load_data(tree(tmp_path, files, zipped), model=reader(3, 4, 4))
    assert {name: len(split) for name, split in data.splits.items()} == {"calibration": 4, "validation": 4, "test": 4}


def test_what_paths_say() -> None:
    def said(*names: str) -> list[tuple[str, str | None]]:
        return [(found.split, found.folder) for found in placed(names)]

    assert said("cat/1.png", "dog/2.PNG") == [("all", "cat"), ("all", "dog")]
    assert said("photos/cat/1.png", "photos/dog/1.png") == [("all", "cat"), ("all", "dog")]
    assert said("cat/1.png") == [("all", "cat")]  # one class
    assert said("a/train/cat/deep/1.png", "a/test/cat/1.png") == [("test", "cat"), ("calibration", "cat")]
    assert said("train/cat/1.png", "train/dog/1.png") == [("calibration", "cat"), ("calibration", "dog")]
    assert said("1.png", "2.gif") == [("all", None), ("all", None)]
    assert said("__MACOSX/cat/._1.png", "cat/._1.png", "cat/readme.md") == []


def test_numbers_as_folders_are_the_classes_where_the_model_has_them() -> None:
    assert class_numbers(["3", "7"], 10) == {"3": 3, "7": 7}
    assert class_numbers(["1", "2", "3"], 3) == {"1": 0, "2": 1, "3": 2}
    assert class_numbers(["b", "a", "b"], 10) == {"a": 0, "b": 1}
    assert class_numbers(["1", "01"], 10) == {"01": 0, "1": 1}


def test_pictures_without_folders_have_no_labels(tmp_path: Path) -> None:
    found = load_data(tree(tmp_path, {"1.png": png()}), model=reader(3, 4, 4))
    assert found.validation.targets is None
    assert found.note.startswith("Without folders of classes the pictures have no labels.")


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({"cat/1.png": b"\x89PNG\r\n\x1a\n junk"}, "E313", "'cat/1.png' is not a PNG"),
        ({"cat/1.png": noise()[:2000]}, "E313", "'cat/1.png' is damaged"),
        ({"cat/1.png": png(), "2.png": png()}, "E314", "'2.png' lies outside of the folders of classes"),
        ({"cat/1.txt": b"no"}, "E314", "no picture"),
        ({"cat/1.png": png((8000, 8000), 0, "1")}, "E613", "'cat/1.png' has 64.0 million pixels, the limit is 50"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(
    tmp_path: Path, files: dict[str, bytes], code: str, message: str
) -> None:
    with pytest.raises(FileRefused, match=message) as caught:
        load_data(tree(tmp_path, files), model=reader(3, 4, 4))
    assert caught.value.code == code


def test_a_zip_is_guarded(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as caught:
        load_data(tree(tmp_path, {"../cat/1.png": png()}, zipped=True), model=reader(3, 4, 4))
    assert caught.value.code == "E603"
    with pytest.raises(FileRefused):
        load_data(tree(tmp_path, {"readme.txt": b"none"}, zipped=True), model=reader(3, 4, 4))
    with pytest.raises(DataError, match="there is no such file"):
        load_data(str(tmp_path / "none.zip"))


def test_without_a_model_pictures_need_one_size(tmp_path: Path) -> None:
    spec = tree(tmp_path, {"a/1.png": png((4, 2)), "a/2.png": png((4, 2))})
    assert load_data(spec).validation.inputs.shape == (2, 3, 2, 4)
    tree(tmp_path, {"b/1.png": png((2, 4))})
    with pytest.raises(DataError, match=r"picture 'b/1\.png' has size 4 × 2, the first one 2 × 4; give the model"):
        load_data(spec)


def test_a_model_that_reads_no_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the model takes examples of shape \(5,\), which are no pictures"):
        load_data(tree(tmp_path, CATS), model=reader(5))


def test_grey_of_sixteen_bits_keeps_its_shades() -> None:
    Image.fromarray(np.array([[0, 257 * 128, 65535]], np.uint16)).save(buffer := io.BytesIO(), "PNG")
    found = decode([Picture("deep", lambda: buffer.getvalue())], Format("L", None))
    assert found.tolist() == [[[[0, 128, 255]]]]


def test_many_pictures_are_kept_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [Picture(str(i), lambda i=i: png(colour=(i, 0, 0))) for i in range(5)]  # type: ignore[misc]
    plain = decode(some, Format("RGB", (4, 4)))
    monkeypatch.setattr(pictures, "IN_MEMORY", 10)
    mapped = decode(some, Format("RGB", (4, 4)))
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, plain)
    assert plain[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
