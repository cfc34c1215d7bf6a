"""Weights in a safetensors file, `weights.safetensors+as@torchvision:resnet18`; the format holds no code."""

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pruning_core.loaders.options import suffix
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.weights import OPTIONS, load_weights
from pruning_core.model import Model
from pruning_core.refusals import refused


@model_loader(
    "safetensors",
    form="weights.safetensors+as@ARCHITECTURE",
    can_load=lambda spec: suffix(spec) == ".safetensors",
    takes=OPTIONS,
)
def load_safetensors(spec: str) -> Model:
    """Load weights from a safetensors file into their architecture."""
    return load_weights(spec, _read)


def _read(path: str) -> Mapping[str, Tensor]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError):
        raise refused("E210", f"'{path}' is no safetensors file, or is damaged") from None
