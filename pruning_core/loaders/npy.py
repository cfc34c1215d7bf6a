"""One NumPy array of inputs, and one of targets where it is named: `x.npy+y@y.npy`. Both stay on the disk."""

from pathlib import Path
from tokenize import TokenError

import numpy as np

from pruning_core.data import Dataset
from pruning_core.errors import DataError
from pruning_core.loaders.arrays import Array, from_arrays
from pruning_core.loaders.options import OF_DATA, split, suffix
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model
from pruning_core.refusals import refused


@data_loader("npy", form="x.npy+y@y.npy", can_load=lambda spec: suffix(spec) == ".npy", takes=OF_DATA)
def load_npy(spec: str, model: Model | None = None) -> Dataset:
    """Load inputs (n, ...) and, where `+y@` names them, targets; the files are read as they are needed."""
    path, options = split(spec)
    arrays = {"x": _mapped(path)}
    if "y" in options:
        arrays["y"] = np.array(_mapped(options["y"]))
    return from_arrays(Path(path).stem, arrays, model, spec)


def _mapped(path: str) -> Array:
    """Return the array of a file, mapped into memory; never a pickle."""
    try:
        with open(path, "rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise refused("E302", f"'{path}' is not a NumPy array")
        found: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"cannot read '{path}': there is no such file") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or 'it is damaged'}") from None
    except (ValueError, EOFError, SyntaxError, OverflowError, TokenError) as error:
        code = "E303" if "pickle" in str(error).lower() or "object" in str(error).lower() else "E302"
        raise refused(code, f"'{path}' is not a plain NumPy array, or damaged") from None
    return found
