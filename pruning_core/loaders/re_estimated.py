"""A model with batch-norm statistics of some data, `resnet_fashion+norms@fashion_mnist`: made anew from its name."""

from dataclasses import replace

from pruning_core.errors import UnknownName
from pruning_core.loaders.options import NORMS
from pruning_core.loaders.seam import load_data, load_model, model_loader
from pruning_core.model import Model
from pruning_core.sensitivity.norm_statistics import re_estimated

MARK = NORMS


def spec_of(model: str, data: str) -> str:
    """Return the name under which `model` is loaded with the statistics of `data`."""
    return f"{model}{MARK}{data}"


def data_of(spec: str) -> str | None:
    """Return the data that a model's name asks for, or None."""
    return spec.partition(MARK)[2] or None


@model_loader("re_estimated", form=f"MODEL{MARK}DATA", can_load=lambda spec: MARK in spec, takes=None)
def load_re_estimated(spec: str) -> Model:
    """Load a model and give its batch norms the statistics of the calibration examples of DATA."""
    model_name, _, data_name = spec.partition(MARK)
    if not model_name or not data_name:
        raise UnknownName(f"'{spec}' names no model or no data; it is written MODEL{MARK}DATA")
    model = load_model(model_name)
    return replace(re_estimated(model, load_data(data_name, model=model).calibration), name=spec)
