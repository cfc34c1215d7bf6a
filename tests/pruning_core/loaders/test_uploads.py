"""Uploads by name: what the name means, options that name another upload, and refusals that tell of no folder."""

from pathlib import Path

import numpy as np
import pytest

import pruning_core as pc
from pruning_core.errors import FileRefused, PruningError
from pruning_core.loaders import uploads

TOKEN = "AAAAAAAAAAAAAAAAAAAAA_"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(uploads.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / TOKEN).mkdir()
    return tmp_path / TOKEN


def test_an_upload_is_loaded_under_a_name_without_its_folder(folder: Path) -> None:
    np.savez(folder / "some.npz", x=np.zeros((20, 1, 4, 4), np.float32), y=np.arange(20) % 2)
    data = pc.load_data(uploads.spec_of(TOKEN, "some.npz"))
    assert (data.name, data.title) == (f"upload:{TOKEN}/some.npz", "some.npz")
    assert len(data.validation) > 0


def test_options_may_name_uploads_too(folder: Path) -> None:
    spec = f"upload:{TOKEN}/x.npy+y@upload:{TOKEN}/y.npy"
    for name in ("x.npy", "y.npy"):
        np.save(folder / name, np.zeros(4))
    assert uploads.resolved(spec) == f"{folder}/x.npy+y@{folder}/y.npy"
    assert uploads.resolved("net.onnx+input@3x8x8") == "net.onnx+input@3x8x8"


@pytest.mark.parametrize(
    "name",
    [
        "upload:",
        "upload:short/x.npz",
        f"upload:{TOKEN}/",
        f"upload:{TOKEN}/../x.npz",
        f"upload:{TOKEN}/.x",
        "upload:/etc/x",
    ],
)
def test_what_names_no_upload_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(FileRefused, match="names no upload") as caught:
        uploads.path_of(name)
    assert caught.value.code == "E621"


def test_a_link_or_a_file_that_is_gone_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link.npz").symlink_to("/etc/passwd")
    for name in ("gone.npz", "link.npz"):
        with pytest.raises(FileRefused, match="is no longer here"):
            pc.load_data(uploads.spec_of(TOKEN, name))
    monkeypatch.delenv(uploads.FOLDER_VARIABLE)
    with pytest.raises(FileRefused, match="is no longer here"):
        uploads.path_of(uploads.spec_of(TOKEN, "link.npz"))


@pytest.mark.parametrize("name", ["bad.npz", "bad.onnx"])
def test_a_refusal_tells_of_no_folder(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"nothing of the kind")
    load = pc.load_data if name.endswith("npz") else pc.load_model
    with pytest.raises(PruningError) as caught:
        load(uploads.spec_of(TOKEN, name))
    assert name in str(caught.value)
    assert str(folder.parent) not in str(caught.value)
