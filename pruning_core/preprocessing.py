"""`Preprocessing`: what is done to raw inputs before a model reads them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pruning_core.errors import DataError


@dataclass(frozen=True)
class Preprocessing:
    """`(x * scale - mean) / std`, mean and std per channel (dimension 1) or one for all."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not (0 < self.scale < np.inf and self.std and all(0 < value < np.inf for value in self.std)):
            raise DataError(f"scale {self.scale} and std {self.std} must be finite and above zero")
        if not (self.mean and np.isfinite(self.mean).all()):
            raise DataError(f"mean {self.mean} must be finite numbers")

    def apply(self, inputs: Tensor) -> Tensor:
        """Return float32 inputs of the same shape (batch, channels, ...)."""
        channels = inputs.shape[1] if inputs.dim() > 1 else 1
        for values in (self.mean, self.std):
            if len(values) not in (1, channels):
                raise DataError(f"{len(values)} values of mean or std do not fit {channels} channels")
        axes = (1, -1, *(1,) * (inputs.dim() - 2))
        mean, std = torch.tensor(self.mean).view(axes), torch.tensor(self.std).view(axes)
        return (inputs.float() * self.scale - mean) / std

    def __str__(self) -> str:
        numbers = [", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std)]
        return f"(x × {self.scale:.4g} − {numbers[0]}) ÷ {numbers[1]}"
