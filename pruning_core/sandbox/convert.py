"""A state dict of torch.save as safetensors: the pickle is read once, here, and never again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from pruning_core.guard.limits import Limits
from pruning_core.guard.shown import shown
from pruning_core.loaders.state_dict import read
from pruning_core.loaders.unwrap import unwrap
from pruning_core.refusals import refused

NAME = "weights.safetensors"


@dataclass(frozen=True)
class Weights:
    """What was written."""

    file: str  # its name in the folder
    notes: list[str]
    tensors: int


def converted(path: str, folder: Path, limits: Limits) -> Weights:
    """Write the tensors of the state dict at `path` into `folder`."""
    state, said = unwrap(read(path, is_mapped=False))
    _check(state, limits)
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, folder / NAME)
    return Weights(NAME, list(said), len(state))


def _check(state: Mapping[str, Tensor], limits: Limits) -> None:
    """Refuse tensors that are more than their bytes: a step of 0 makes any number of one."""
    total = 0
    for name, tensor in state.items():
        limits.check("E618", "name_characters", len(name), "the name of a tensor has {} characters")
        if tensor.layout.__repr__() != "torch.strided" or tensor.device.type != "cpu" or tensor.is_quantized:
            raise refused("E207", f"tensor {shown(name)} is sparse, quantised or has no numbers")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            held = tensor.untyped_storage().nbytes()
            raise refused(
                "E211", f"tensor {shown(name)} claims {tensor.numel():,} numbers, the file holds {held} bytes"
            )
        total += tensor.numel()
        limits.check("E612", "numbers", total, "the weights have {} numbers")
