"""A NumPy archive with `x` (examples first) and, where known, `y` (class numbers); never with pickles."""

import zipfile
from pathlib import Path

import numpy as np

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.seam import data_loader


@data_loader("npz", form="file.npz with x and y", can_load=lambda spec: spec.endswith(".npz"))
def load_npz(spec: str) -> Dataset:
    """Load `spec`; images (n, height, width) get a channel dimension. One split, named `all`, serves for everything."""
    try:
        with np.load(spec, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key in ("x", "y")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else "it is not a plain NumPy archive"
        raise DataError(f"cannot read '{spec}': {reason}; save it with numpy.savez(file, x=inputs, y=labels)") from None
    if "x" not in arrays:
        raise DataError(f"'{spec}' holds no array 'x'; save it with numpy.savez(file, x=inputs, y=labels)")
    x, y = arrays["x"], arrays.get("y")
    if x.ndim == 3:
        x = x[:, None]
    name = Path(spec).stem
    targets = y.astype(np.int64) if y is not None and y.dtype.kind in "ui" else y
    return Dataset(name, name, {"validation": EvalData(name, "all", x, targets)})
