"""Pictures as one array: decoded by Pillow, brought to one size, kept on the disk where they are many."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from math import prod
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pruning_core.errors import DataError
from pruning_core.guard.limits import LIMITS
from pruning_core.guard.pictures import check_picture
from pruning_core.model import Model
from pruning_core.preprocessing import cover
from pruning_core.refusals import refused

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
IN_MEMORY = 64 << 20  # bytes; larger arrays are mapped from a file without a name
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One picture that is read when needed: the bytes of a file, or what a library has decoded already."""

    name: str
    read: Callable[[], bytes | Image.Image]


@dataclass(frozen=True)
class Format:
    """What all pictures are brought to; `size` None: they have one size already."""

    mode: str | None  # L or RGB; None as the first one is
    size: tuple[int, int] | None  # height, width
    resize: str = "crop"

    def __str__(self) -> str:
        if self.size is None:
            return ""
        how = "shorter side, then the centre" if self.resize == "crop" else "stretched"
        return f"Pictures are read at {self.size[0]} × {self.size[1]} ({how})."


def format_for(model: Model | None, resize: str | None) -> Format:
    """Return the format that a model reads, (n, channels, height, width) or (n, height, width, channels)."""
    if model is None:
        return Format(None, None)
    shape = tuple(model.example_inputs[0].shape[1:])
    channels, height, width = (
        (shape if shape[0] in (1, 3) else (shape[2], *shape[:2])) if len(shape) == 3 else (0, 0, 0)
    )
    if channels not in (1, 3):
        raise DataError(f"the model takes examples of shape {shape}, which are no pictures; it needs other data")
    if resize == "none":
        return Format("L" if channels == 1 else "RGB", None)
    return Format("L" if channels == 1 else "RGB", (height, width), resize or "crop")


def decode(pictures: Sequence[Picture], wanted: Format) -> Pixels:
    """Return the pictures as bytes (n, channels, height, width); one that cannot be read is refused by name."""
    first = _decoded(pictures[0], wanted)
    found = _room((len(pictures), *first.shape))
    same = Format(wanted.mode or ("L" if first.shape[0] == 1 else "RGB"), wanted.size, wanted.resize)

    def place(number: int) -> None:
        pixels = _decoded(pictures[number], same)
        if pixels.shape != first.shape:
            raise DataError(
                f"picture '{pictures[number].name}' has size {pixels.shape[1]} × {pixels.shape[2]}, the first one "
                f"{first.shape[1]} × {first.shape[2]}; give the model, or resize them"
            )
        found[number] = pixels

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(place, range(len(pictures))):
            pass
    return found


def _room(shape: tuple[int, ...]) -> Pixels:
    """Return an array to fill."""
    if prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    with TemporaryFile() as file:  # the mapping stays when the file is closed
        mapped: Pixels = np.memmap(file, np.uint8, "w+", shape=shape)
        return mapped


def _decoded(picture: Picture, wanted: Format) -> Pixels:
    """Return the bytes (channels, height, width) of one picture."""
    content = picture.read()
    if isinstance(content, bytes):
        check_picture(content, f"picture '{picture.name}'", LIMITS)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) if isinstance(content, bytes) else content as image:
            return _pixels(image, wanted)
    except DAMAGED:
        raise refused("E313", f"picture '{picture.name}' is damaged") from None


def _pixels(image: Image.Image, wanted: Format) -> Pixels:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    image = image.convert(wanted.mode or ("L" if image.mode in ("1", "L", "LA") else "RGB"))
    if wanted.size is not None:
        image = _resized(image, wanted.size, wanted.resize)
    pixels: NDArray[Any] = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits in 8: Pillow itself would cut off what is above 255."""
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray((values / 257 if values.max(initial=0) > 255 else values).clip(0, 255).astype(np.uint8))


def _resized(image: Image.Image, size: tuple[int, int], how: str) -> Image.Image:
    height, width = size
    if how == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    whole_height, whole_width = cover((image.height, image.width), size)
    image = image.resize((whole_width, whole_height), Image.Resampling.BILINEAR)
    left, top = (whole_width - width) // 2, (whole_height - height) // 2
    return image.crop((left, top, left + width, top + height))
