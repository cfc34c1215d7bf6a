"""`Preprocessing`: what is done to raw inputs before a model reads them."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import DataError

Resize = Literal["none", "crop", "stretch"]
Channels = Literal["stored", "reversed", "repeated"]
Layout = Literal["stored", "channels_first", "channels_last", "stays_last"]
READ_LAST = ("channels_last", "stays_last")
STORED_LAST = ("channels_first", "stays_last")


@dataclass(frozen=True, repr=False)
class Preprocessing:
    """`(x * scale - mean) / std`, mean and std per channel (dimension 1) or one for all; before that, of pictures:

    `resize` to `size` (shorter side and centre crop, or stretched), and the order of the channels (RGB to BGR is
    reversed, one grey channel is repeated to three). `layout` is what the model reads where the data are stored in the
    other, channels_first is (n, channels, height, width); stays_last: both are (n, height, width, channels).
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: Resize = "none"
    size: tuple[int, int] | None = None  # height, width; what `resize` leads to
    channels: Channels = "stored"
    layout: Layout = "stored"

    def __post_init__(self) -> None:
        if not (0 < self.scale < np.inf and self.std and all(0 < value < np.inf for value in self.std)):
            raise DataError(f"scale {self.scale} and std {self.std} must be finite and above zero")
        if not (self.mean and np.isfinite(self.mean).all()):
            raise DataError(f"mean {self.mean} must be finite numbers")
        if self.resize != "none" and (self.size is None or min(self.size) < 1):
            raise DataError(
                f"pictures are to be resized to {self.size}; give height and width, as resize@crop with a model"
            )

    @property
    def numbers(self) -> "Preprocessing":
        """What is done to the numbers alone: scale, mean and std."""
        return Preprocessing(self.scale, self.mean, self.std)

    def with_numbers(self, other: "Preprocessing") -> "Preprocessing":
        """Return the same with scale, mean and std of `other`."""
        return replace(self, scale=other.scale, mean=other.mean, std=other.std)

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a prepared example, from its shape as it is stored; both without the batch."""
        return (
            stored if self == self.numbers else tuple(self._arranged(torch.empty(1, *stored, device="meta")).shape[1:])
        )

    def apply(self, inputs: Tensor) -> Tensor:
        """Return float32 inputs (batch, channels, ...), of the same shape unless resized or arranged otherwise."""
        inputs = self._arranged(inputs.float())
        axis = inputs.dim() - 1 if self.layout in READ_LAST else 1
        channels = inputs.shape[axis] if inputs.dim() > 1 else 1
        for values in (self.mean, self.std):
            if len(values) not in (1, channels):
                raise DataError(f"{len(values)} values of mean or std do not fit {channels} channels")
        axes = tuple(-1 if dim == axis else 1 for dim in range(max(2, inputs.dim())))[: max(1, inputs.dim())]
        mean, std = torch.tensor(self.mean).view(axes), torch.tensor(self.std).view(axes)
        return (inputs * self.scale - mean) / std

    def _arranged(self, inputs: Tensor) -> Tensor:
        """Return pictures in the wanted size, order of channels and layout; other inputs as they are."""
        if self == self.numbers:
            return inputs
        if inputs.dim() != 4:
            raise DataError(
                f"inputs of shape {tuple(inputs.shape[1:])} are no pictures, so they have no size or channels"
            )
        inputs = inputs.movedim(-1, 1) if self.layout in STORED_LAST else inputs
        if self.channels == "reversed":
            inputs = inputs.flip(1)
        if self.channels == "repeated":
            inputs = inputs.expand(-1, 3, -1, -1) if inputs.shape[1] == 1 else inputs
        if self.resize != "none" and self.size is not None:
            inputs = resized(inputs, self.resize, self.size)
        return inputs.movedim(1, -1) if self.layout in READ_LAST else inputs

    def __repr__(self) -> str:
        said = [f for i, f in enumerate(fields(self)) if i < 3 or getattr(self, f.name) != f.default]
        return f"Preprocessing({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in said)})"

    def __str__(self) -> str:
        numbers = [", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std)]
        formula = f"(x × {self.scale:.4g} − {numbers[0]}) ÷ {numbers[1]}"
        height, width = self.size or (0, 0)
        how = "shorter side, then the centre" if self.resize == "crop" else "stretched"
        arranged = [
            f"resized to {height} × {width} ({how})" if self.resize != "none" else "",
            {"reversed": "channels reversed", "repeated": "grey repeated to three channels"}.get(self.channels, ""),
            {"channels_first": "channels first", "channels_last": "channels last"}.get(self.layout, ""),
        ]
        return ", ".join(filter(None, [formula, *arranged]))


def resized(pictures: Tensor, how: str, size: tuple[int, int]) -> Tensor:
    """Return pictures (n, channels, height, width) of `size`; `crop` keeps their proportions and the centre."""
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    whole = cover(tuple(pictures.shape[-2:]), size) if how == "crop" else size
    if pictures.device.type == "meta":
        return pictures.new_empty(*pictures.shape[:2], *size)
    found = F.interpolate(pictures, whole, mode="bilinear", antialias=True)
    top, left = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    return found[..., top : top + size[0], left : left + size[1]]


def cover(stored: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Return the least height and width in the proportions of `stored` that cover `size`."""
    factor = max(wanted / had for wanted, had in zip(size, stored, strict=True))
    height, width = (max(wanted, round(had * factor)) for wanted, had in zip(size, stored, strict=True))
    return height, width
