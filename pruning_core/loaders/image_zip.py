"""A zip of pictures by class, as the folder would be; read in place, nothing is unpacked to the disk."""

import zipfile
import zlib
from pathlib import Path
from threading import Lock

from pruning_core.data import Dataset
from pruning_core.errors import DataError
from pruning_core.guard import check
from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.picture_tree import dataset_from
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model
from pruning_core.refusals import refused

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


@data_loader("image_zip", form="a zip of pictures by class", can_load=lambda spec: suffix(spec) == ".zip")
def load_image_zip(spec: str, model: Model | None = None) -> Dataset:
    """Load the pictures in a zip; the folders in it are the classes, in alphabetical order."""
    path = split(spec)[0]
    if not Path(path).exists():
        raise DataError(f"cannot read '{path}': there is no such file")
    if check(path) != "images":
        raise refused("E314", f"'{Path(path).name}' is not a zip of pictures")
    with zipfile.ZipFile(path) as archive:
        lock = Lock()  # an archive is one file, read by one at a time

        def read(name: str) -> bytes:
            try:
                with lock:
                    return archive.read(name)
            except DAMAGED:
                raise refused("E313", f"picture '{name}' is damaged") from None

        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        return dataset_from(spec, Path(path).stem, names, read, model)
