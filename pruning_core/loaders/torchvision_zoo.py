"""torchvision's classification models by name, `torchvision:resnet18`; with trained weights where they can be had.

torchvision is imported when a name is first asked for: it takes longer than the rest of the library together.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pruning_core.data import Preprocessing
from pruning_core.errors import UnknownName
from pruning_core.loaders.seam import model_loader
from pruning_core.model import Architecture, Model
from pruning_core.registry import suggestion

PREFIX = "torchvision:"
DOWNLOAD_SECONDS = 10.0
AUXILIARY = ("AuxLogits", "aux1", "aux2")  # heads of Inception and GoogLeNet that only training uses


def names() -> list[str]:
    """Return the names of the classification models."""
    from torchvision import models

    return list(models.list_models(module=models))


@model_loader(
    "torchvision",
    form="torchvision:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    names=lambda: ((PREFIX + name, name) for name in names()),
)
def load_torchvision(spec: str) -> Model:
    """Load a torchvision model; random weights (seed 0) when the trained ones cannot be had, and the note says so."""
    from torchvision import models

    name = spec.removeprefix(PREFIX)
    if name not in (known := names()):
        raise UnknownName(f"torchvision has no model '{name}'; {suggestion(name, known)}")
    weights = models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    size = transforms.crop_size[0]
    module, note = _trained(name, weights, size)
    return Model(
        name=spec,
        module=module,
        example_inputs=(torch.zeros(2, 3, size, size),),
        title=name,
        architecture=Architecture("import torchvision", _expression(name, size)),
        note=note,
        preprocessing=Preprocessing(1 / 255, tuple(transforms.mean), tuple(transforms.std)),
    )


def _expression(name: str, size: int) -> str:
    options = "".join(f", {key}={value!r}" for key, value in _options(name, size).items())
    return f"torchvision.models.get_model({name!r}, weights=None{options})"


def _trained(name: str, weights: Any, size: int) -> tuple[nn.Module, str]:
    """Return the module with `weights`, or with random ones, and which it is."""
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = models.get_model(name, weights=None, **_options(name, size)).eval()
    try:
        with _patience(DOWNLOAD_SECONDS):
            state = weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
    except (OSError, RuntimeError):  # no network, or what came is damaged
        return module, "random weights: the trained ones could not be downloaded, so accuracy means nothing here"
    wanted = {key: value for key, value in state.items() if not key.startswith(AUXILIARY)}
    module.load_state_dict(wanted)
    return module, f"trained weights {weights}"


def _options(name: str, size: int) -> dict[str, Any]:
    """Return what must be said to build the model that the trained weights belong to, without training-only heads."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": False, "transform_input": True}
    return {"image_size": size} if name.startswith("vit_") else {}


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
