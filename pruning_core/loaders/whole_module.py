"""A whole module that was pickled, or TorchScript, in a `.pt` file that was said to be trusted: opening it runs code.

A file that was not trusted is the turn of `state_dict`, which opens tensors only; neither falls back to the other.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.rebuilt import with_source
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.torch_files import SUFFIXES, is_torchscript
from pruning_core.loaders.torchscript import converted
from pruning_core.loaders.trusted import is_trusted
from pruning_core.loaders.untrained import examples
from pruning_core.loaders.weights import existing
from pruning_core.model import Model
from pruning_core.refusals import refused


def _is_asked_for(spec: str) -> bool:
    """Whether the file is trusted, and no architecture is named, which would mean its weights alone."""
    return suffix(spec) in SUFFIXES and "as" not in split(spec)[1] and is_trusted(spec)


@model_loader(
    "whole_module",
    form="module.pt (trusted)",
    can_load=_is_asked_for,
    takes=("input",),
    runs_code=True,
)
def load_whole_module(spec: str) -> Model:
    """Load a pickled nn.Module or TorchScript; the shape of its input has to be named."""
    path, options = split(spec)
    existing(path)
    if "input" not in options:
        raise refused("E233", f"'{path}' does not say what shape an input has")
    inputs = examples(options["input"])
    if is_torchscript(path):
        module, what = converted(path, inputs), "TorchScript, turned into a graph of operators"
    else:
        module, what = _as_float32(_unpickled(path))
    return with_source(Model(spec, module, inputs, title=Path(path).stem, note=f"{what}, from '{Path(path).name}'"))


def _unpickled(path: str) -> nn.Module:
    found = _opened(path)
    while isinstance(found, nn.DataParallel):
        found = found.module
    if isinstance(found, dict):
        raise refused("E240", f"'{path}' holds weights by name and no module, so it needs no trust")
    if not isinstance(found, nn.Module):
        raise refused("E243", f"'{path}' holds {type(found).__name__} and no module")
    return found


def _as_float32(module: nn.Module) -> tuple[nn.Module, str]:
    kinds = {tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()} - {torch.float32}
    said = "".join(f", {str(kind).removeprefix('torch.')} turned into float32" for kind in sorted(kinds, key=str))
    return module.float() if kinds else module, f"the whole module{said}"


def _opened(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except (ModuleNotFoundError, AttributeError) as error:
        raise refused("E203", f"'{path}' needs code that is not here ({str(error)[:160]})") from None
    except Exception as error:  # damaged files raise nearly anything
        raise refused("E202", f"'{path}' cannot be opened ({type(error).__name__})") from None
