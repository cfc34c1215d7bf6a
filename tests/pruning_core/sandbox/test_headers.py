"""Headers of arrays that numpy itself stumbles over are refused in our words, where no guard stands before it."""

from pathlib import Path

import pytest

from pruning_core.errors import FileRefused
from pruning_core.loaders import load_data
from tests.hostile.case import npy, zipped

HEADERS = ["{'descr': '<f4', 'fortran_order': False, 'shape': (", "{'descr'", "{(" * 40, "{1: 2}", "'", "\x00"]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_headers_that_are_no_header(header: str, suffix: str, tmp_path: Path) -> None:
    path, content = tmp_path / f"x{suffix}", npy(header)
    path.write_bytes(content if suffix == ".npy" else zipped({"x.npy": content}))
    with pytest.raises(FileRefused) as caught:
        load_data(str(path))
    assert caught.value.code in ("E302", "E303")
