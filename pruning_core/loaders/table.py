"""A table of numbers with a header line, `table.csv+y@price`: one column is the target, all others are inputs."""

import csv
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError, UnknownName
from pruning_core.loaders.options import OF_DATA, split, suffix
from pruning_core.loaders.seam import data_loader
from pruning_core.loaders.splits import dataset_of
from pruning_core.model import Model
from pruning_core.refusals import refused
from pruning_core.registry import suggestion

DELIMITERS = ",;\t|"
Rows = list[list[str]]


@data_loader("table", form="table.csv+y@COLUMN", can_load=lambda spec: suffix(spec) in (".csv", ".tsv"), takes=OF_DATA)
def load_table(spec: str, model: Model | None = None) -> Dataset:
    """Load the rows of a table; words in the target column are classes, in alphabetical order."""
    path, options = split(spec)
    header, rows = _read(path)
    targets = options.get("y", "").split(",") if "y" in options else []
    for name in targets:
        if name not in header:
            raise UnknownName(f"'{path}' has no column '{name}'; {suggestion(name, header)}")
    inputs = _numbers(path, header, rows, [name for name in header if name not in targets])
    found, names = _targets(path, header, rows, targets) if targets else (None, ())
    name = Path(path).stem
    shaped = _as_read(inputs.astype(np.float32), header, model, targets, path)
    data = EvalData(name, "all", shaped, found, class_names=names, source=spec)
    said = f"Classes of '{targets[0]}' by name: {', '.join(names[:5])}." if names else ""
    return dataset_of(name, {"validation": data}, said)


def _read(path: str) -> tuple[list[str], Rows]:
    """Return the names of the columns, and the rows below."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            beginning = "".join(islice(file, 3))
            delimiter = max(DELIMITERS, key=beginning.split("\n")[0].count)
            file.seek(0)
            header, *rows = [row for row in csv.reader(file, delimiter=delimiter, strict=True) if row] or [[]]
    except FileNotFoundError:
        raise DataError(f"cannot read '{path}': there is no such file") from None
    except UnicodeDecodeError as error:
        raise refused("E316", f"near byte {error.start} '{path}' is not UTF-8") from None
    except csv.Error as error:
        raise refused("E315", f"'{path}' is damaged ({error})") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or 'it is damaged'}") from None
    header = [name.strip() for name in header]
    _check(path, header, rows)
    return header, rows


def _check(path: str, header: list[str], rows: Rows) -> None:
    if not rows:
        raise refused("E306", f"'{path}' has no row below its header")
    if all(_is_number(name) for name in header):
        raise refused("E315", f"'{path}' has no header line: its first line is all numbers")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise refused("E315", f"'{path}' has two columns named '{twice}'")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise refused("E315", f"row {number} of '{path}' has {len(row)} cells, the header {len(header)}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: str, header: list[str], rows: Rows, names: list[str]) -> NDArray[np.float64]:
    """Return the columns `names` as numbers (rows, columns); a cell that is none is refused by its place."""
    places = [header.index(name) for name in names]
    if not places:
        raise refused("E315", f"'{path}' has no column of inputs")
    cells = [[row[place] for place in places] for row in rows]
    try:
        found = np.array(cells, dtype=np.float64)
    except ValueError:
        found = np.full((1, 1), np.nan)
    if not np.isfinite(found).all():
        for number, row in enumerate(cells, start=2):
            for name, cell in zip(names, row, strict=True):
                if not _is_number(cell) or not np.isfinite(float(cell)):
                    what = f"'{cell[:40]}', which is no finite number" if cell.strip() else "empty"
                    raise refused("E315", f"row {number}, column '{name}' of '{path}' is {what}")
    return found


def _targets(path: str, header: list[str], rows: Rows, names: list[str]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return class numbers (n,) with the names of the classes, or numbers to predict, (n,) or (n, columns)."""
    place = header.index(names[0])
    words = [row[place].strip() for row in rows]
    if len(names) == 1 and not any(_is_number(word) for word in words):
        if empty := next((number for number, word in enumerate(words, start=2) if not word), None):
            raise refused("E315", f"row {empty}, column '{names[0]}' of '{path}' is empty")
        classes, numbers = np.unique(words, return_inverse=True)
        return numbers.astype(np.int64), tuple(str(name) for name in classes)
    found = _numbers(path, header, rows, names)
    whole = len(names) == 1 and bool((found == np.round(found)).all())
    return (
        found[:, 0].astype(np.int64) if whole else found.astype(np.float32).squeeze(-1 if len(names) == 1 else ())
    ), ()


def _as_read(
    inputs: NDArray[np.float32], header: list[str], model: Model | None, targets: list[str], path: str
) -> NDArray[np.float32]:
    """Return the rows in the shape that the model reads, such as pictures that are written pixel by pixel."""
    if model is None:
        return inputs
    shape, columns = tuple(model.example_inputs[0].shape[1:]), inputs.shape[1]
    if not targets and columns == prod(shape) + 1:
        raise refused(
            "E315", f"'{path}' has {columns} columns, one more than the model takes; say which is the target: +y@COLUMN"
        )
    if columns != prod(shape):
        raise refused("E311", f"'{path}' has {columns} columns of inputs; the model takes {shape}")
    return inputs.reshape(len(inputs), *shape)
