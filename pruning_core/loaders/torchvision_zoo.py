"""torchvision's classification models by name, `torchvision:resnet18`; with trained weights where they can be had.

torchvision is imported when a name is first asked for: it takes longer than the rest of the library together.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pruning_core.data import Preprocessing
from pruning_core.errors import UnknownName
from pruning_core.loaders.fill import TRAINING_ONLY
from pruning_core.loaders.network import NOT_THERE, patience
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.untrained import examples, seed_zero
from pruning_core.model import Architecture, Model
from pruning_core.registry import suggestion

PREFIX = "torchvision:"


def names() -> list[str]:
    """Return the names of the classification models."""
    from torchvision import models

    return list(models.list_models(module=models))


def _untrained(spec: str, n_classes: int | None) -> Model:
    name, _ = _parts(spec)
    weights = _weights(name)
    return _model(spec, weights, _random(name, weights, n_classes), n_classes)


@model_loader(
    "torchvision",
    form="torchvision:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    names=lambda: ((PREFIX + name, name) for name in names()),
    takes=("input",),
    untrained=_untrained,
)
def load_torchvision(spec: str) -> Model:
    """Load a torchvision model; random weights (seed 0) when the trained ones cannot be had, and the note says so."""
    name, _ = _parts(spec)
    weights = _weights(name)
    module = _random(name, weights)
    return replace(_model(spec, weights, module), note=_train(module, weights))


def _parts(spec: str) -> tuple[str, str | None]:
    """Return the name of a model that there is, and the shape of its input where one is given."""
    text, options = split(spec)
    name = text.removeprefix(PREFIX)
    if name not in (known := names()):
        raise UnknownName(f"torchvision has no model '{name}'; {suggestion(name, known)}")
    return name, options.get("input")


def _model(spec: str, weights: Any, module: nn.Module, n_classes: int | None = None) -> Model:
    (name, shape), transforms = _parts(spec), weights.transforms()
    return Model(
        name=spec,
        module=module,
        example_inputs=examples(shape, (torch.zeros(2, 3, _size(weights), _size(weights)),)),
        title=name,
        architecture=Architecture("import torchvision", _expression(name, _size(weights), n_classes)),
        preprocessing=Preprocessing(1 / 255, tuple(transforms.mean), tuple(transforms.std)),
    )


def _weights(name: str) -> Any:
    from torchvision import models

    return models.get_model_weights(name).DEFAULT


def _size(weights: Any) -> int:
    return int(weights.transforms().crop_size[0])


def _expression(name: str, size: int, n_classes: int | None) -> str:
    options = "".join(f", {key}={value!r}" for key, value in _options(name, size, n_classes).items())
    return f"torchvision.models.get_model({name!r}, weights=None{options})"


def _random(name: str, weights: Any, n_classes: int | None = None) -> nn.Module:
    from torchvision import models

    with seed_zero():
        module: nn.Module = models.get_model(name, weights=None, **_options(name, _size(weights), n_classes))
    return module.eval()


def _train(module: nn.Module, weights: Any) -> str:
    """Give the module its trained weights where they can be had, and return which it has."""
    try:
        with patience():
            state = weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
    except (OSError, RuntimeError):  # no network, or what came is damaged
        return NOT_THERE
    module.load_state_dict({key: value for key, value in state.items() if not key.startswith(TRAINING_ONLY)})
    return f"trained weights {weights}"


def _options(name: str, size: int, n_classes: int | None) -> dict[str, Any]:
    """Return what must be said to build the model that the trained weights belong to, without training-only heads."""
    options: dict[str, Any] = {} if n_classes is None else {"num_classes": n_classes}
    if name in ("googlenet", "inception_v3"):
        return options | {"aux_logits": False, "init_weights": False, "transform_input": True}
    return options | ({"image_size": size} if name.startswith("vit_") else {})
