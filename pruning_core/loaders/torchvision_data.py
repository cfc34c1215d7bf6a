"""torchvision's data sets of pictures by name, `torchvision:CIFAR10`; downloaded when they are not on this machine.

They lie in the folder that PRUNING_EXPLORER_DATA names, as torchvision itself lays them out.
"""

import os
import warnings
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError, UnknownName
from pruning_core.loaders.network import patience
from pruning_core.loaders.options import split
from pruning_core.loaders.pictures import Format, Picture, decode, format_for
from pruning_core.loaders.seam import data_loader
from pruning_core.loaders.splits import dataset_of
from pruning_core.model import Model
from pruning_core.registry import suggestion

PREFIX = "torchvision:"
FOLDER_VARIABLE = "PRUNING_EXPLORER_DATA"
DEFAULT_FOLDER = "~/.cache/pruning-explorer/data"
NAMES = (
    *("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "USPS", "CIFAR10", "CIFAR100", "SVHN", "STL10", "GTSRB"),
    *("Food101", "Flowers102", "FGVCAircraft", "DTD", "OxfordIIITPet", "StanfordCars", "Imagenette", "EuroSAT"),
    *("Country211", "PCAM", "RenderedSST2"),
)
SPLIT_NAMES = {"calibration": "train", "validation": "val", "test": "test"}


def folder() -> Path:
    """Return where data sets lie."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).expanduser()


@data_loader(
    "torchvision",
    form="torchvision:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    names=lambda: ((PREFIX + name, name) for name in NAMES),
)
def load_torchvision_data(spec: str, model: Model | None = None) -> Dataset:
    """Load a data set of classes with its own splits."""
    name = split(spec)[0].removeprefix(PREFIX)
    if name not in NAMES:
        raise UnknownName(f"torchvision's data set '{name}' is not known here; {suggestion(name, NAMES)}")
    wanted = format_for(model, split(spec)[1].get("resize"))
    found = _opened(name)
    parts = {part: _part(spec, part, stored, wanted) for part, stored in found.items()}
    return dataset_of(PREFIX + name, parts, f"From {folder()}. {wanted}".strip())


def _opened(name: str) -> dict[str, Any]:
    """Return the data set's splits, as torchvision opens them."""
    from torchvision import datasets

    kind = getattr(datasets, name)
    folder().mkdir(parents=True, exist_ok=True)
    found = {}
    for part, options in _splits(signature(kind).parameters).items():
        try:
            found[part] = _open(kind, options)
        except ValueError:  # it has no split of this name
            continue
        except (OSError, RuntimeError, ImportError) as error:
            why = (str(error).splitlines() or [""])[0][:100]
            raise DataError(
                f"torchvision's '{name}' is not in '{folder()}' and could not be downloaded ({why}); connect, or put "
                "it there with torchvision.datasets"
            ) from None
    return found


def _open(kind: Any, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings(), patience():
        warnings.simplefilter("ignore")  # of arrays that torchvision maps read-only
        try:
            return kind(str(folder()), **options)
        except (RuntimeError, FileNotFoundError):  # it is not here yet
            return kind(str(folder()), **options, download=True)


def _splits(parameters: Any) -> dict[str, dict[str, Any]]:
    """Return how each split is asked for: by `train`, by `split`, or not at all."""
    if "train" in parameters:
        return {"calibration": {"train": True}, "test": {"train": False}}
    if "split" in parameters:
        return {part: {"split": name} for part, name in SPLIT_NAMES.items()}
    return {"validation": {}}


def _part(spec: str, part: str, stored: Any, wanted: Format) -> EvalData:
    """Return one split; each of its items is a picture and a class number."""
    classes = np.zeros(len(stored), np.int64)

    def read(number: int) -> Any:
        image, classes[number] = stored[number]
        return image

    pixels = decode([Picture(f"{part} {number}", partial(read, number)) for number in range(len(stored))], wanted)
    names = tuple(str(name) for name in getattr(stored, "classes", ()))
    return EvalData(split(spec)[0], part, pixels, classes, class_names=names, source=spec)
