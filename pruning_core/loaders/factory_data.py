"""Data made by a function of yours, `package.module:factory`: it runs code, so it must have been trusted by name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.arrays import from_arrays
from pruning_core.loaders.factory import FORM, is_factory, made
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import data_loader
from pruning_core.loaders.splits import dataset_of
from pruning_core.model import Model

GIVES = "a Dataset, an EvalData, arrays (x, y), arrays by name, or pairs of an input and a target"


@data_loader(
    "factory",
    form=FORM,
    can_load=is_factory,
    runs_code=True,
    refusal="E249",
)
def load_factory_data(spec: str, model: Model | None = None) -> Dataset:
    """Call the function, without arguments, and take what it gives."""
    return _dataset(split(spec)[0], made(spec), model, spec)


def _dataset(name: str, made: Any, model: Model | None, spec: str) -> Dataset:
    if isinstance(made, Dataset):
        parts = {part: replace(data, source=spec) for part, data in made.splits.items()}
        return replace(made, name=name, splits=parts)
    if isinstance(made, EvalData):
        return dataset_of(name, {"validation": replace(made, source=spec)})
    if isinstance(made, Mapping):
        return from_arrays(name, {str(key): _array(name, value) for key, value in made.items()}, model, spec)
    if isinstance(made, tuple) and len(made) == 2 and not isinstance(made[0], tuple):
        return from_arrays(name, {"x": _array(name, made[0]), "y": _array(name, made[1])}, model, spec)
    if hasattr(made, "__len__") and hasattr(made, "__getitem__"):
        pairs = [made[i] for i in range(len(made))]
        if pairs and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            x, y = (np.stack([_array(name, value) for value in column]) for column in zip(*pairs, strict=True))
            return from_arrays(name, {"x": x, "y": y}, model, spec)
    raise DataError(f"'{name}' gives {type(made).__name__}; {GIVES} would work")


def _array(name: str, value: Any) -> NDArray[Any]:
    """Return an array, or a tensor of torch as one."""
    found = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if found.dtype.kind == "O":
        raise DataError(f"'{name}' gives arrays of Python objects; {GIVES} would work")
    return found
