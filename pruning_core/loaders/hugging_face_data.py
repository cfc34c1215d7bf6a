"""Data sets of Hugging Face by name, `hf:OWNER/NAME`, where the package `datasets` is installed: pictures with classes.

Code that a repository brings along is never run.
"""

from functools import partial
from typing import Any

import numpy as np

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.network import hugging_face
from pruning_core.loaders.options import OF_DATA, split
from pruning_core.loaders.pictures import Format, Picture, decode, format_for
from pruning_core.loaders.seam import data_loader
from pruning_core.loaders.splits import dataset_of, split_named
from pruning_core.model import Model

PREFIX = "hf:"


@data_loader("hugging_face", form="hf:OWNER/NAME", can_load=lambda spec: spec.startswith(PREFIX), takes=OF_DATA)
def load_hugging_face_data(spec: str, model: Model | None = None) -> Dataset:
    """Load a data set with a column of pictures and one of classes, which `+y@COLUMN` names where there are several."""
    given, options = split(spec)
    name, wanted = given.removeprefix(PREFIX), format_for(model, options.get("resize"))
    found = _opened(name)
    parts = {
        split_named(part) or "all": _part(spec, stored, options.get("y"), wanted)
        for part, stored in found.items()
        if len(found) == 1 or split_named(part)
    }
    if not parts:
        raise DataError(f"'{given}' has the splits {', '.join(found)}; one of train, validation and test is needed")
    return dataset_of(given, parts, f"From the hub of Hugging Face. {wanted}".strip())


def _opened(name: str) -> dict[str, Any]:
    """Return the tables of a data set by the names of its splits."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise DataError("data sets of Hugging Face need the package datasets; pip install datasets") from None
    try:
        with hugging_face():
            return dict(datasets.load_dataset(name))
    except (OSError, ValueError, RuntimeError) as error:
        why = (str(error).splitlines() or [""])[0][:100]
        raise DataError(
            f"'{PREFIX}{name}' is not here and could not be downloaded ({why}); check name and network"
        ) from None


def _part(spec: str, stored: Any, target: str | None, wanted: Format) -> EvalData:
    pictures, classes = _columns(spec, stored.features, target)
    found = [Picture(f"row {row}", partial(_picture, stored, row, pictures)) for row in range(len(stored))]
    names = tuple(getattr(stored.features[classes], "names", ())) if classes else ()
    targets = np.array(stored[classes]) if classes else None
    return EvalData(split(spec)[0], "all", decode(found, wanted), targets, class_names=names, source=spec)


def _picture(stored: Any, row: int, column: str) -> Any:
    return stored[row][column]


def _columns(spec: str, features: Any, target: str | None) -> tuple[str, str | None]:
    """Return the columns of pictures and of classes."""
    kinds = {name: type(kind).__name__ for name, kind in features.items()}
    pictures = next((name for name, kind in kinds.items() if kind == "Image"), None)
    if pictures is None:
        raise DataError(f"'{spec}' has no column of pictures, only {', '.join(kinds)}; save others as .npz or .csv")
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if target is not None and target not in kinds:
        raise DataError(f"'{spec}' has no column '{target}'; there are {', '.join(kinds)}")
    if target is None and len(classes) > 1:
        raise DataError(f"'{spec}' has the classes {' and '.join(classes)}; say which are meant: +y@{classes[0]}")
    return pictures, target or next(iter(classes), None)
