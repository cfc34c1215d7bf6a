"""Weights in a state dict that torch.save wrote, `weights.pt+as@torchvision:resnet18`; nothing else is unpickled.

What is more than tensors is refused, with our own words: those of torch tell how to switch its protection off.
"""

import pickle
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar

from pruning_core.errors import FileRefused
from pruning_core.guard.shown import shown
from pruning_core.loaders.options import suffix
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.torch_files import SUFFIXES, is_torchscript, members
from pruning_core.loaders.weights import OPTIONS, load_weights
from pruning_core.model import Model
from pruning_core.refusals import refused

SHOWN = 3
HARMLESS: list[Any] = [  # what training scripts keep beside the weights: options and single numbers, which run nothing
    Namespace,
    *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]
_READING = Lock()  # what torch lets through is one list for all threads


@model_loader(
    "state_dict",
    form="weights.pt+as@ARCHITECTURE",
    can_load=lambda spec: suffix(spec) in SUFFIXES,
    takes=OPTIONS,
)
def load_state_dict(spec: str) -> Model:
    """Load weights from a plain state dict into their architecture."""
    return load_weights(spec, read)


def read(path: str, is_mapped: bool = True) -> Mapping[Any, Any]:
    """Return what the file holds, tensors and plain values only; large files are mapped, not read.

    A tensor that claims more bytes than its own would show those beside it where it is mapped, and is refused if not.
    """
    try:
        with _READING, warnings.catch_warnings(), torch.serialization.safe_globals(HARMLESS):
            warnings.simplefilter("ignore")  # torch warns of its own old formats
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped and zipfile.is_zipfile(path))
    except Exception as error:  # damaged files raise nearly anything
        raise _refusal(path, error) from None
    if not isinstance(found, Mapping):
        raise refused("E243", f"'{path}' holds one {type(found).__name__} and no weights by name")
    return found


def _refusal(path: str, error: Exception) -> FileRefused:
    names = members(path)
    if is_torchscript(path):
        return refused("E205", f"'{path}' holds TorchScript, which is a program")
    if any(name.endswith("models/model.json") for name in names):
        return refused("E206", f"'{path}' holds an exported program, which can run code when it is opened")
    if classes := _classes(path):
        first = ", ".join(map(shown, classes[:SHOWN]))
        return refused("E203", f"'{path}' holds Python objects ({first}), which can run code when they are opened")
    if not names:
        return _refusal_of_stream(path, error)
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            return refused("E608", f"'{path}' is compressed, which torch.save does not do")
    return refused("E202", f"'{path}' is damaged, or no file of torch.save")


def _refusal_of_stream(path: str, error: Exception) -> FileRefused:
    """Return the refusal of what is no archive: torch.save wrote pickles one after the other until version 1.6."""
    if isinstance(error, pickle.UnpicklingError):
        return refused("E204", f"'{path}' holds pickled Python objects, which can run code when they are opened")
    return refused("E202", f"'{path}' is damaged, or no file of torch.save")


def _classes(path: str) -> list[str]:
    """Return the names of what the pickle would import, besides tensors; found without running it."""
    try:
        with _READING, torch.serialization.safe_globals(HARMLESS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not of this kind, or damaged
        return []
