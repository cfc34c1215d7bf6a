"""timm's models by name, `timm:resnet18` or `timm:resnet18.a1_in1k`; with trained weights where they can be had.

timm is imported when a name is first asked for. What else its names can say, such as folders to load from, is refused.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pruning_core.data import Preprocessing
from pruning_core.errors import ModelError, UnknownName
from pruning_core.loaders.network import NOT_THERE, hugging_face
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.untrained import BATCH, RANDOM, examples, seed_zero
from pruning_core.model import Architecture, Model
from pruning_core.registry import suggestion

PREFIX = "timm:"


def _untrained(spec: str, n_classes: int | None) -> Model:
    name = _name(spec)
    return _model(spec, _random(name, n_classes), n_classes)


@model_loader(
    "timm",
    form="timm:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    takes=("input",),
    untrained=_untrained,
)
def load_timm(spec: str) -> Model:
    """Load a model of timm; random weights (seed 0) when the trained ones cannot be had, and the note says so."""
    name = _name(spec)
    module = _random(name)
    trained, note = _trained(name, module)
    return replace(_model(spec, trained, None), note=note)


def _name(spec: str) -> str:
    name = split(spec)[0].removeprefix(PREFIX)
    timm = _timm()
    known, tag = name.partition(".")[::2]
    if not timm.is_model(known):
        raise UnknownName(f"timm has no model '{name}'; {suggestion(known, timm.list_models())}")
    if tag and name not in (tagged := timm.list_pretrained(f"{known}.*")):
        raise UnknownName(f"timm has no weights '{tag}' of '{known}'; {suggestion(name, tagged)}")
    return name


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise ModelError("timm is not installed; pip install pruning-explorer[hub]") from None
    return timm


def _random(name: str, n_classes: int | None = None) -> nn.Module:
    with seed_zero():
        module: nn.Module = _timm().create_model(name, pretrained=False, **_options(n_classes))
    return module.eval()


def _options(n_classes: int | None) -> dict[str, int]:
    return {} if n_classes is None else {"num_classes": n_classes}


def _trained(name: str, module: nn.Module) -> tuple[nn.Module, str]:
    """Return the model with its trained weights where they can be had, and which it has."""
    settings: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    if not any(settings.get(source) for source in ("hf_hub_id", "url", "file")):
        return module, f"{RANDOM}: timm has no trained ones of this name"
    try:
        with hugging_face():
            trained: nn.Module = _timm().create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError):  # no network, or what came is damaged
        return module, NOT_THERE
    return trained.eval(), f"trained weights {settings['architecture']}.{settings['tag']} of timm"


def _model(spec: str, module: nn.Module, n_classes: int | None) -> Model:
    name = _name(spec)
    settings: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    options = "".join(f", {key}={value}" for key, value in _options(n_classes).items())
    return Model(
        name=spec,
        module=module,
        example_inputs=examples(split(spec)[1].get("input"), (torch.zeros(BATCH, *settings["input_size"]),)),
        title=name,
        architecture=Architecture("import timm", f"timm.create_model({name!r}, pretrained=False{options})"),
        preprocessing=Preprocessing(1 / 255, tuple(settings["mean"]), tuple(settings["std"])),
    )
