"""Hostile files, generated: twelve classes, each file with the code that it has to be refused by.

`cases(marker)` lists them all; code in them would create the file `marker`, which must never be there.
"""

from pathlib import Path

from tests.hostile import (
    archives,
    data,
    dimensions,
    loops,
    names,
    not_finite,
    onnx_bombs,
    outside,
    pickles,
    pictures,
    programs,
    safetensors,
)
from tests.hostile.case import Case

CLASSES = {
    "pickles": pickles,
    "archives": archives,
    "ONNX bombs": onnx_bombs,
    "ONNX loops": loops,
    "paths and links": outside,
    "dimensions": dimensions,
    "names": names,
    "NaN": not_finite,
    "data": data,
    "pt2 and TorchScript": programs,
    "pictures": pictures,
    "safetensors": safetensors,
}


def cases(marker: Path) -> list[Case]:
    """Return all hostile files, those of a class together."""
    found = [case for module in CLASSES.values() for case in module.cases(marker)]
    assert len({(case.kind, case.name) for case in found}) == len(found)
    return found
