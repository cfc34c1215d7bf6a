"""torchvision's classification models by name, `torchvision:resnet18`; with trained weights where they can be had."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torchvision import models

from pruning_core.errors import UnknownName
from pruning_core.loaders.seam import model_loader
from pruning_core.model import Architecture, Model
from pruning_core.registry import suggestion

PREFIX = "torchvision:"
DOWNLOAD_SECONDS = 10.0


def _names() -> list[str]:
    return list(models.list_models(module=models))


@model_loader(
    "torchvision",
    form="torchvision:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    names=lambda: ((PREFIX + name, name) for name in _names()),
)
def load_torchvision(spec: str) -> Model:
    """Load a torchvision model; random weights (seed 0) when the trained ones cannot be had, and the note says so."""
    name = spec.removeprefix(PREFIX)
    if name not in _names():
        raise UnknownName(f"torchvision has no model '{name}'; {suggestion(name, _names())}")
    weights = models.get_model_weights(name).DEFAULT
    module, note = _trained(name, weights)
    size = weights.transforms().crop_size[0]
    example = torch.zeros(2, 3, size, size)
    source = "import torchvision"
    expression = f"torchvision.models.get_model({name!r}, weights=None{_extra(name)})"
    return Model(spec, module, (example,), name, None, Architecture(source, expression), note)


def _trained(name: str, weights: Any) -> tuple[torch.nn.Module, str]:
    try:
        with _patience(DOWNLOAD_SECONDS):
            return models.get_model(name, weights=weights).eval(), f"trained weights {weights}"
    except OSError:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = models.get_model(name, weights=None, **_options(name)).eval()
        return module, "random weights: the trained ones could not be downloaded, so accuracy means nothing here"


def _options(name: str) -> dict[str, bool]:
    """The auxiliary heads of these two are not part of the model at evaluation."""
    return {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}


def _extra(name: str) -> str:
    return "".join(f", {key}={value}" for key, value in _options(name).items())


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
