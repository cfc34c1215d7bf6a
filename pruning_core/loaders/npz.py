"""A NumPy archive with `x` (examples first) and, where known, `y` (class numbers); never with pickles."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model

Array = NDArray[Any]
HOW = "save it with numpy.savez(file, x=inputs, y=labels)"
UNREADABLE = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError)


@data_loader("npz", form="file.npz with x and y", can_load=lambda spec: spec.lower().endswith(".npz"))
def load_npz(spec: str, _: Model | None = None) -> Dataset:
    """Load `spec`; images (n, height, width) get a channel dimension. One split, named `all`, serves for everything."""
    arrays = _read(spec)
    if "x" not in arrays:
        found = ", ".join(f"'{name}'" for name in arrays) or "nothing"
        raise DataError(f"'{spec}' holds {found} but no array 'x'; {HOW}")
    x, y = arrays["x"], arrays.get("y")
    name = Path(spec).stem
    images = x[:, None] if x.ndim == 3 else x
    targets = None if y is None else _class_numbers(y)
    return Dataset(name, name, {"validation": EvalData(name, "all", images, targets, source=spec)})


def _read(spec: str) -> dict[str, Array]:
    """Return the arrays `x` and `y`, and the names of others with nothing in them."""
    try:
        with open(spec, "rb") as file:  # np.load would leave a file that it refuses open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"'{spec}' holds one array without a name; {HOW}")
            with archive:
                return {key: archive[key] if key in ("x", "y") else np.empty(0) for key in archive.files}
    except FileNotFoundError:
        raise DataError(f"cannot read '{spec}': there is no such file") from None
    except OSError as error:
        raise DataError(f"cannot read '{spec}': {error.strerror or 'it is damaged'}") from None
    except UNREADABLE:
        raise DataError(
            f"cannot read '{spec}': it is not a plain NumPy archive (or damaged, or pickled); {HOW}"
        ) from None


def _class_numbers(y: Array) -> Array:
    """Return targets (n,) for (n, 1); all else is left for the check of the data to judge."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
