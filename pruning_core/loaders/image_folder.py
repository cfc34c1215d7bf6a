"""A folder of pictures by class, `photos/cat/1.png`, also in splits, `photos/train/cat/1.png`."""

import os
from pathlib import Path

from pruning_core.data import Dataset
from pruning_core.loaders.options import split
from pruning_core.loaders.picture_tree import dataset_from
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model
from pruning_core.refusals import refused


@data_loader("image_folder", form="a folder of pictures by class", can_load=lambda spec: os.path.isdir(split(spec)[0]))
def load_image_folder(spec: str, model: Model | None = None) -> Dataset:
    """Load the pictures below a folder; the folders in it are the classes, in alphabetical order."""
    root = Path(split(spec)[0])
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return dataset_from(spec, root.resolve().name, names, lambda name: _read(root / name), model)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise refused("E313", f"picture '{path.name}' cannot be read ({error.strerror})") from None
