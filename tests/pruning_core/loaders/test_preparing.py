"""How data are prepared: what the text says, what follows from the model, and what is found where it must be wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.data import Dataset, EvalData, Preprocessing, check_fits
from pruning_core.errors import DataError, PruningError, UnknownName
from pruning_core.loaders import load_data
from pruning_core.loaders.options import PREPARING
from pruning_core.loaders.preparing import SETTINGS, chosen
from pruning_core.loaders.presets import PRESETS
from pruning_core.loaders.suggest import suggest_preprocessing
from pruning_core.model import Model
from tests.pruning_core.loaders.toys import language_model, reader

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 8), np.uint8)


def stored(folder: Path, x: Any = PIXELS, **arrays: Any) -> str:
    np.savez(folder / "data.npz", x=x, **arrays)
    return str(folder / "data.npz")


def prepared(spec: str, model: Model | None = None) -> Tensor:
    return load_data(spec, model=model).validation.batch(slice(None))


def test_every_option_is_declared_and_helped() -> None:
    assert set(SETTINGS) == set(PREPARING)
    for setting in SETTINGS.values():
        assert setting.help.endswith(".")
        assert not setting.choices or setting.default in (None, *setting.choices)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_of_pixels(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    assert preset.doc.endswith(".")
    whole, share = prepared(f"{stored(tmp_path)}+preset@{name}"), f"{stored(tmp_path, PIXELS / 255)}+preset@{name}"
    torch.testing.assert_close(prepared(share), whole, rtol=1e-4, atol=1e-4)  # fractions are pixels too
    ordered = torch.from_numpy(PIXELS).float().flip(1) if name == "caffe" else torch.from_numpy(PIXELS).float()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preset.pixels.mean, preset.pixels.std))
    torch.testing.assert_close(whole, (ordered * preset.pixels.scale - mean) / std)


def test_numbers_of_the_text_replace_those_of_its_preset_and_of_the_model(tmp_path: Path) -> None:
    model = replace(reader(3, 6, 8), preprocessing=PRESETS["imagenet"].pixels)
    spec = stored(tmp_path)
    assert load_data(spec, model=model).validation.preprocessing == PRESETS["imagenet"].pixels
    assert load_data(f"{spec}+preset@raw", model=model).validation.preprocessing == Preprocessing()
    assert load_data(f"{spec}+preset@model+scale@2", model=model).validation.preprocessing.scale == 2
    assert load_data(f"{spec}+mean@1,2,3", model=model).validation.preprocessing == Preprocessing(mean=(1, 2, 3))
    own = Preprocessing(scale=3)
    assert load_data(f"{spec}+mean@1", own, model).validation.preprocessing == own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("+preset@imagent", r"\+preset@ is 'imagent'; did you mean 'imagenet'\?"),
        ("+resize@big", r"\+resize@ is 'big'; known: crop, none, stretch"),
        ("+mean@a", r"\+mean@ is 'a'; write numbers as 0.1,0.2"),
        ("+scale@1,2", r"\+scale@ is '1,2'; one number is needed"),
        ("+scale@0", "scale 0.0 and std .* must be finite and above zero"),
        ("+preset@model", "needs a model that says how its pixels are prepared"),
        ("+resize@crop", "cannot be resized: there is no model that reads pictures to say the size"),
        ("+accept@x", r"takes no \+accept@; leave it out"),
        ("+y@x", r"takes no \+y@; leave it out"),
    ],
)
def test_an_option_that_means_nothing_is_refused(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(PruningError, match=message):
        load_data(stored(tmp_path) + options)


def test_pictures_are_resized_to_the_model_in_batches(tmp_path: Path) -> None:
    model, spec = reader(3, 3, 4), stored(tmp_path)
    for how in ("crop", "stretch"):
        data = load_data(f"{spec}+resize@{how}", model=model).validation
        check_fits(data, model.graph)
        assert data.shapes == ((3, 3, 4),)
    halved = torch.nn.functional.interpolate(torch.from_numpy(PIXELS).float(), (3, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(data.batch(slice(None)), halved)
    assert "resized to 3 × 4 (stretched)" in str(data.preprocessing)


def test_a_crop_keeps_proportions_and_the_centre() -> None:
    image = torch.zeros(1, 1, 4, 8)
    image[..., 2:6] = 1.0
    found = Preprocessing(resize="crop", size=(4, 4)).apply(image)
    assert found.tolist() == torch.ones(1, 1, 4, 4).tolist()
    assert Preprocessing(resize="crop", size=(2, 2)).apply(image).shape == (1, 1, 2, 2)
    with pytest.raises(DataError, match=r"resized to \(0, 4\)"):
        Preprocessing(resize="crop", size=(0, 4))
    with pytest.raises(DataError, match=r"inputs of shape \(5,\) are no pictures"):
        Preprocessing(channels="reversed").apply(torch.zeros(2, 5))


@pytest.mark.parametrize(("from_", "to"), [((6, 8, 3), (3, 6, 8)), ((3, 6, 8), (6, 8, 3))])
def test_the_layout_follows_from_the_shapes(tmp_path: Path, from_: tuple[int, ...], to: tuple[int, ...]) -> None:
    x = PIXELS if from_[0] == 3 else np.moveaxis(PIXELS, 1, -1)
    data = load_data(f"{stored(tmp_path, x)}+mean@1,2,3", model=reader(*to)).validation
    check_fits(data, reader(*to).graph)
    expected = torch.from_numpy(PIXELS).float() - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    torch.testing.assert_close(data.batch(slice(None)), expected if to[0] == 3 else expected.movedim(1, -1))
    assert ("channels first" if to[0] == 3 else "channels last") in str(data.preprocessing)


def test_channels_that_stand_last_in_data_and_model_are_prepared_as_channels(tmp_path: Path) -> None:
    spec, model = stored(tmp_path, np.moveaxis(PIXELS, 1, -1)), reader(6, 8, 3)
    data = load_data(f"{spec}+mean@1,2,3+channels@bgr", model=model).validation
    check_fits(data, model.graph)
    expected = torch.from_numpy(PIXELS).float().flip(1) - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    torch.testing.assert_close(data.batch(slice(None)), expected.movedim(1, -1))
    features = load_data(stored(tmp_path, np.ones((2, 16, 5, 5))), model=reader(16, 5, 5)).validation
    assert features.preprocessing == Preprocessing()  # no pictures
    spec = stored(tmp_path, np.moveaxis(PIXELS, 1, -1))
    small = load_data(f"{spec}+resize@crop", model=reader(6, 4, 3)).validation
    assert small.shapes == ((6, 4, 3),)
    assert small.batch(slice(0, 2)).shape == (2, 6, 4, 3)


def test_a_layout_that_shapes_leave_open_can_be_said(tmp_path: Path) -> None:
    x = np.arange(2 * 3 * 4 * 3, dtype=np.float32).reshape(2, 3, 4, 3)  # either 3 could be the channels
    found = prepared(f"{stored(tmp_path, x)}+layout@channels_last", reader(3, 3, 4))
    assert np.array_equal(found.numpy(), np.moveaxis(x, -1, 1))


def test_grey_is_repeated_for_a_model_of_colours(tmp_path: Path) -> None:
    data = load_data(f"{stored(tmp_path, PIXELS[:, :1])}+preset@imagenet", model=reader(3, 6, 8)).validation
    check_fits(data, reader(3, 6, 8).graph)
    expected = (torch.from_numpy(PIXELS[:, :1]) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    )
    torch.testing.assert_close(data.batch(slice(None)), expected)


def test_what_a_text_says_holds_for_the_next_tokens_too(tmp_path: Path) -> None:
    spec = stored(tmp_path, np.arange(10).reshape(2, 5))
    data = load_data(f"{spec}+task@next_token", model=language_model()).validation
    assert data.labels().tolist() == [[1, 2, 3, 4, -100], [6, 7, 8, 9, -100]]


def test_labels_that_are_whole_floats_are_classes_where_the_model_has_classes(tmp_path: Path) -> None:
    spec = stored(tmp_path, PIXELS, y=np.array([0.0, 1.0, 2.0, 0.0]))
    assert load_data(spec, model=reader(3, 6, 8)).validation.has_classes
    assert load_data(spec, model=reader(3, 6, 8, outputs=1)).validation.is_regression
    assert load_data(f"{spec}+task@regression", model=reader(3, 6, 8)).validation.is_regression
    two = load_data(
        f"{stored(tmp_path, PIXELS, y=np.full((4, 2), 9))}+task@regression", model=reader(3, 6, 8, outputs=2)
    )
    check_fits(two.validation, reader(3, 6, 8, outputs=2).graph)
    assert two.validation.labels().dtype == torch.float32


def test_the_same_text_twice_is_the_same_preparation(tmp_path: Path) -> None:
    """Uploads are loaded by a loader inside a loader."""
    spec = f"{stored(tmp_path, np.moveaxis(PIXELS, 1, -1))}+channels@bgr+preset@imagenet+resize@crop"
    from pruning_core.loaders.preparing import fitted

    once, model = load_data(spec, model=reader(3, 3, 4)), reader(3, 3, 4)
    options = {"channels": "bgr", "preset": "imagenet", "resize": "crop"}
    twice = fitted(once, options, None, model)
    assert twice.validation.preprocessing == once.validation.preprocessing
    assert twice.validation.sha256 == once.validation.sha256


@given(st.dictionaries(st.sampled_from(PREPARING), st.text(max_size=8), max_size=3))
def test_options_are_taken_or_refused_in_a_sentence(options: dict[str, str]) -> None:
    try:
        found = chosen(options)
    except (DataError, UnknownName):
        return
    assert set(found) == set(options)


class Bright(nn.Module):
    """Says whether a picture is brighter than the middle of what it expects."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(1, 2)
        with torch.no_grad():
            self.out.weight.copy_(torch.tensor([[-1.0], [1.0]]))
            self.out.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.mean((1, 2, 3))[:, None])


def bright(preprocessing: Preprocessing | None = None) -> tuple[Model, Dataset]:
    x = np.random.default_rng(1).integers(0, 256, (200, 1, 1, 1), np.uint8)
    targets = (x[:, 0, 0, 0] > 127).astype(np.int64)
    data = EvalData("bright", "all", x, targets, preprocessing or Preprocessing())
    return Model("bright", Bright(), (torch.zeros(2, 1, 1, 1),)), Dataset("bright", "Bright", {"all": data})


def test_a_preset_that_does_much_better_than_chance_is_named_with_its_numbers() -> None:
    (found,) = suggest_preprocessing(*bright())
    assert found.option == "+preset@minus_one_to_one"
    assert (found.n, found.after, found.chance) == (200, 1.0, 0.5)
    assert 0.4 < found.before < 0.6
    assert found.sentence.startswith(f"The model is right on {found.before:.1%} of 200 examples, near chance (50.0%)")
    assert found.sentence.endswith(
        "it is right on 100.0% (95 % interval 98.1% to 100.0%): use +preset@minus_one_to_one."
    )


def test_nothing_is_said_where_answers_are_right_or_no_other_way_is_better() -> None:
    assert suggest_preprocessing(*bright(Preprocessing(1 / 255, (0.5,), (0.5,)))) == ()
    assert suggest_preprocessing(*bright(Preprocessing(1 / 255, (0.6,), (0.5,)))) == ()  # about 90 %: no guessing
    model, dataset = bright()
    with torch.no_grad():
        model.module.get_parameter("out.weight").zero_()  # knows nothing
    assert suggest_preprocessing(model, dataset) == ()
    unlabelled = dataset.changed(targets=None)
    assert suggest_preprocessing(bright()[0], unlabelled) == ()


def test_the_order_of_colours_is_tried() -> None:
    class Blue(Bright):
        def forward(self, x: Tensor) -> Tensor:
            return self.out((x[:, 0] - x[:, 2]).mean((1, 2))[:, None])

    x = np.random.default_rng(1).integers(0, 256, (200, 3, 2, 2), np.uint8)
    targets = (x[:, 2].astype(int).sum((1, 2)) > x[:, 0].astype(int).sum((1, 2))).astype(np.int64)
    dataset = Dataset("blue", "Blue", {"all": EvalData("blue", "all", x, targets)})
    (found,) = suggest_preprocessing(Model("blue", Blue(), (torch.zeros(2, 3, 2, 2),)), dataset)
    assert found.option.endswith("+channels@bgr") or found.option == "+preset@caffe"
    assert found.after == 1.0
