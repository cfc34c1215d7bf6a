"""How data are made to fit a model: what the text says (`+resize@crop+preset@imagenet`), and what follows from shapes.

`SETTINGS` declares every option, so that a screen can draw them; `fitted` carries them out on data that were loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch

from pruning_core.data import Dataset, EvalData, Preprocessing
from pruning_core.errors import DataError, UnknownName
from pruning_core.loaders.presets import PRESETS, are_pixels, on_stored
from pruning_core.model import Model
from pruning_core.preprocessing import Layout
from pruning_core.registry import suggestion

OWN = "model"  # the preset of the model itself
CHANNELS = (1, 3, 4)  # of pictures: grey, colours, colours with transparency


@dataclass(frozen=True)
class PreparingSetting:
    """One declared option of data; `default` is what holds where the text does not say it."""

    name: str
    kind: type
    default: Any
    choices: tuple[str, ...]
    help: str


SETTINGS = {
    setting.name: setting
    for setting in (
        PreparingSetting("preset", str, None, (OWN, *PRESETS), "Scale, mean and std by the name of a common choice."),
        PreparingSetting("scale", float, 1.0, (), "Inputs are multiplied by it; 0.00392157 makes fractions of pixels."),
        PreparingSetting("mean", tuple, (0.0,), (), "Taken off after scaling; one number, or one for each channel."),
        PreparingSetting("std", tuple, (1.0,), (), "Divides at last; one number, or one for each channel."),
        PreparingSetting(
            "resize",
            str,
            "none",
            ("none", "crop", "stretch"),
            "To the model's size: crop keeps proportions and centre.",
        ),
        PreparingSetting("channels", str, "rgb", ("rgb", "bgr"), "Order of the colours that the model reads."),
        PreparingSetting(
            "layout", str, "auto", ("auto", "channels_first", "channels_last"), "How pictures are stored."
        ),
        PreparingSetting(
            "task", str, "auto", ("auto", "regression", "next_token"), "What outputs are: numbers, or the token after."
        ),
    )
}


def chosen(options: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a text in their kinds, or refuse one by name."""
    return {name: _value(SETTINGS[name], text) for name, text in options.items() if name in SETTINGS}


def _value(setting: PreparingSetting, text: str) -> Any:
    if setting.choices:
        if text not in setting.choices:
            raise UnknownName(f"+{setting.name}@ is '{text}'; {suggestion(text, setting.choices)}")
        return text
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise DataError(f"+{setting.name}@ is '{text}'; write numbers as 0.1,0.2") from None
    if setting.kind is float and len(numbers) > 1:
        raise DataError(f"+{setting.name}@ is '{text}'; one number is needed")
    return numbers[0] if setting.kind is float else numbers


def preset(model: Model, dataset: Dataset) -> Preprocessing | None:
    """Return how `model` wants raw pixels prepared; None where `dataset` says it itself, or holds prepared inputs.

    Raw pixels are whole numbers from 0 to 255, or fractions from 0 to 1; a negative number shows prepared inputs.
    """
    data = dataset.validation
    if model.preprocessing is None or data.preprocessing != Preprocessing() or not are_pixels(data):
        return None
    return on_stored(model.preprocessing, data)


def fitted(
    dataset: Dataset, options: Mapping[str, str], preprocessing: Preprocessing | None, model: Model | None
) -> Dataset:
    """Return `dataset` as the text says and as `model` takes it; `preprocessing` replaces the numbers of both."""
    wanted = chosen(options)
    if model is not None:
        dataset = _read_as(_without_channel(dataset, model), model)
    numbers = preprocessing or _numbers(dataset, wanted, model)
    if numbers is not None:
        dataset = dataset.changed(preprocessing=numbers)
    dataset = _arranged(dataset, wanted, model)
    if wanted.get("task") == "regression":
        dataset = dataset.changed(regression=True)
    if wanted.get("task") == "next_token":
        dataset = dataset.with_next_tokens()
    return dataset if model is None else _with_targets(dataset, model)


def _without_channel(dataset: Dataset, model: Model) -> Dataset:
    """Leave out a channel that was added to sequences: they are no pictures."""
    is_sequence = dataset.validation.inputs.shape[1:] == (1, *model.example_inputs[0].shape[1:])
    return dataset.without_channel() if is_sequence else dataset


def _read_as(dataset: Dataset, model: Model) -> Dataset:
    types = tuple(example.dtype for example in model.example_inputs)
    if len(types) != len(dataset.validation.arrays):
        return dataset  # which is refused where it is used
    plain = types[0] in (torch.float32, torch.int64) and len(types) == 1
    return dataset.changed(tokens=not types[0].is_floating_point, types=() if plain else types)


def _numbers(dataset: Dataset, wanted: Mapping[str, Any], model: Model | None) -> Preprocessing | None:
    """Return scale, mean and std as the text says, else as the model was trained; None where neither says any."""
    name = wanted.get("preset")
    said = {key: wanted[key] for key in ("scale", "mean", "std") if key in wanted}
    if name is None and not said:
        return None if model is None else preset(model, dataset)
    base = _named(name, dataset, model) if name else Preprocessing()
    return replace(base, **said)


def _named(name: str, dataset: Dataset, model: Model | None) -> Preprocessing:
    if name != OWN:
        return on_stored(PRESETS[name].pixels, dataset.validation)
    if model is None or model.preprocessing is None:
        raise DataError(f"+preset@{OWN} needs a model that says how its pixels are prepared; {suggestion('', PRESETS)}")
    return on_stored(model.preprocessing, dataset.validation)


def _arranged(dataset: Dataset, wanted: Mapping[str, Any], model: Model | None) -> Dataset:
    """Return pictures in the size, order of channels and layout that the model reads."""
    data = dataset.validation
    changes: dict[str, Any] = {"channels": "reversed"} if wanted.get("channels") == "bgr" else {}
    if model is not None and data.inputs.ndim == 4 and model.example_inputs[0].dim() == 4:
        changes |= _shaped(data, tuple(model.example_inputs[0].shape[1:]), wanted)
    elif wanted.get("resize", "none") != "none":
        raise DataError(f"data '{data.name}' cannot be resized: there is no model that reads pictures to say the size")
    return dataset.changed(preprocessing=replace(data.preprocessing, **changes)) if changes else dataset


def _shaped(data: EvalData, shape: tuple[int, ...], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a preprocessing that lead from stored pictures to the shape that a model reads."""
    stored, said = data.inputs.shape[1:], wanted.get("layout", "auto")
    has_first = stored[0] in CHANNELS if said == "auto" else said == "channels_first"
    wants_first = shape[0] in CHANNELS
    changes: dict[str, Any] = {}
    stays = not has_first and not wants_first and stored[-1] in CHANNELS and shape[-1] in CHANNELS
    if data.preprocessing.layout == "stored" and (stays or has_first != wants_first):
        layout: Layout = "stays_last" if stays else "channels_first" if wants_first else "channels_last"
        changes["layout"] = layout
    channels, wanted_channels = stored[0 if has_first else -1], shape[0 if wants_first else -1]
    if (channels, wanted_channels) == (1, 3):
        changes["channels"] = "repeated"
    if wanted.get("resize", "none") != "none":
        changes |= {"resize": wanted["resize"], "size": shape[1:] if wants_first else shape[:2]}
    return changes


def _with_targets(dataset: Dataset, model: Model) -> Dataset:
    """Read targets as the model's outputs are: whole numbers as classes where there are classes, else as numbers."""
    if all(data.targets is None or data.targets.ndim != 1 for data in dataset.splits.values()):
        return dataset
    n_outputs = prod(model.graph.output_shape)
    said = {data.regression for data in dataset.splits.values()} == {True}
    changed = {name: _as_outputs(data, n_outputs, said) for name, data in dataset.splits.items()}
    return replace(dataset, splits=changed)


def _as_outputs(data: EvalData, n_outputs: int, is_regression: bool) -> EvalData:
    targets = data.targets
    if targets is None or targets.ndim != 1:
        return data
    if targets.dtype.kind in "ui" and (n_outputs == 1 or is_regression):
        return replace(data, targets=targets.astype(np.float32))
    whole = targets.dtype.kind == "f" and bool((targets == np.round(targets)).all())
    if whole and n_outputs > 1 and not is_regression:
        return replace(data, targets=targets.astype(np.int64))
    return data
