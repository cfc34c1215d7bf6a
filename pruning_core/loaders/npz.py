"""A NumPy archive with `x` (examples first) and, where known, `y` (targets), also by split; never with pickles."""

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from pruning_core.data import Dataset
from pruning_core.errors import DataError
from pruning_core.loaders.arrays import HOW, Array, from_arrays, wanted
from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model
from pruning_core.refusals import told

UNREADABLE: tuple[type[Exception], ...] = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
UNREADABLE += (RuntimeError, MemoryError, SyntaxError, TokenError)  # the last two of a header


@data_loader("npz", form="file.npz with x and y", can_load=lambda spec: suffix(spec) == ".npz")
def load_npz(spec: str, model: Model | None = None) -> Dataset:
    """Load `x` and `y`, or `x_train`, `y_train`, `x_test` and so on; a model of several inputs reads x0, x1 ..."""
    path = split(spec)[0]
    return from_arrays(Path(path).stem, _read(path, model), model, spec)


def _read(path: str, model: Model | None) -> dict[str, Array]:
    """Return inputs and targets by name, and the names of others with nothing in them."""
    try:
        with open(path, "rb") as file:  # np.load would leave a file that it refuses open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise told("E304", f"'{path}' holds one array without a name; {HOW}")
            with archive:
                return {key: archive[key] if wanted(key, model) else np.empty(0) for key in archive.files}
    except FileNotFoundError:
        raise DataError(f"cannot read '{path}': there is no such file") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or 'it is damaged'}") from None
    except UNREADABLE:
        raise told(
            "E302", f"cannot read '{path}': it is not a plain NumPy archive (or damaged, or pickled); {HOW}"
        ) from None
