"""Nothing runs code when it is opened, unless a person has said that it is trusted; child processes inherit that."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pruning_core as pc
from pruning_core.errors import FileRefused, PruningError, UnknownName
from pruning_core.exporters.snippet import snippet
from pruning_core.loaders import find_model
from pruning_core.loaders.trusted import VARIABLE, is_trusted, trust
from tests.pruning_core.loaders.made_files import hostile_files, net

HERE = f"{__package__}.made_files"
PAIR = f"{HERE}:pair"
DATA = pc.EvalData("none", "all", np.zeros((1, 1)), None)
REFUSED = {
    "archive.pt": "E203",
    "stream.pth": "E204",
    "bare.bin": "E204",
    "named.safetensors": "E210",
    "inside.ckpt": "E203",
    "program.pt2": "E206",
    "program_as.pt": "E206",
}
CHILD = f"import os; print(os.environ['{VARIABLE}'])"


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("architecture", [None, "lenet_300_100"])
def test_a_hostile_file_is_refused_and_never_run(tmp_path: Path, name: str, architecture: str | None) -> None:
    path = hostile_files(tmp_path, tmp_path / "marker")[name]
    spec = f"{path}+as@{architecture}" if architecture and not name.endswith(".pt2") else str(path)
    with pytest.raises(FileRefused) as refusal:
        pc.load_model(spec)
    assert refusal.value.code == REFUSED[name]
    assert "weights_only" not in str(refusal.value)  # torch's own words tell how to switch its protection off
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "marker").exists()


def test_trust_is_what_stands_between_a_file_and_its_code(tmp_path: Path) -> None:
    path = str(hostile_files(tmp_path, tmp_path / "marker")["archive.pt"])
    with pytest.raises(PruningError, match="needs no trust"):
        pc.load_model(path, trusted=True, input_shape="2")
    assert (tmp_path / "marker").exists()  # so the markers of the test above can appear


def test_an_architecture_asks_for_weights_alone_even_of_a_trusted_file(tmp_path: Path) -> None:
    path = str(hostile_files(tmp_path, tmp_path / "marker")["archive.pt"])
    with pytest.raises(FileRefused, match="holds Python objects"):
        pc.load_model(path, architecture="lenet_300_100", trusted=True)
    assert not (tmp_path / "marker").exists()


def test_trust_is_of_one_file_by_whatever_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.pt").symlink_to(tmp_path / "a.pt")
    monkeypatch.chdir(tmp_path)
    trust("a.pt")
    trusted = ("a.pt", f"{tmp_path}/a.pt", f"./../{tmp_path.name}/a.pt+input@3", "link.pt")
    assert all(map(is_trusted, trusted))
    assert not any(map(is_trusted, ("b.pt", "a.pt2", f"{tmp_path}", "")))


def test_a_link_that_is_turned_elsewhere_is_trusted_no_more(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    link = tmp_path / "link.pt"
    link.symlink_to(tmp_path / "a.pt")
    trust(str(link))
    link.unlink()
    link.symlink_to(tmp_path / "b.pt")
    assert not is_trusted(str(link))


def test_a_function_is_called_only_when_trusted() -> None:
    with pytest.raises(FileRefused, match=r"runs code when it is opened.*; name it on the command line, or give") as no:
        find_model(PAIR)
    assert no.value.code == "E249"
    trust(PAIR)
    assert find_model(PAIR).name == "factory"
    with pytest.raises(FileRefused):
        find_model(f"{HERE}:whole")  # another function of the same module


def test_what_a_text_names_is_trusted_together_and_a_snippet_says_so() -> None:
    text = f"{PAIR}+norms@{HERE}:number"
    before = snippet(f"net.pt+as@{PAIR}", DATA, None)
    trust(text)
    assert is_trusted(PAIR)
    assert is_trusted(f"{HERE}:number")
    assert "trusted" not in before + snippet("lenet_300_100", DATA, None)
    for name in (PAIR, f"net.pt+as@{PAIR}", text):
        assert f"model = pc.load_model({name!r}, trusted=True)\n" in snippet(name, DATA, None)
    made = replace(DATA, source=PAIR)
    assert f"load_data({PAIR!r}, pc.{made.preprocessing!r}, model, trusted=True)\n" in snippet(
        "lenet_300_100", made, None
    )


def test_data_of_a_function_are_made_once_it_is_trusted() -> None:
    with pytest.raises(FileRefused):
        pc.load_data(f"{HERE}:arrays")
    assert pc.load_data(f"{HERE}:arrays", trusted=True).validation.labels().tolist() == [0, 1]


@pytest.mark.parametrize("spec", [f"{PAIR}+norms@mnist", f"lenet_300_100+norms@{PAIR}"])
def test_statistics_of_data_are_no_way_around(spec: str) -> None:
    with pytest.raises(PruningError):
        pc.load_model(spec)


def test_a_misspelt_prefix_is_told_and_not_taken_for_a_module() -> None:
    with pytest.raises(UnknownName, match="did you mean 'torchvision:resnet18'"):
        pc.load_model("torchvison:resnet18")


def test_child_processes_inherit_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(net(), tmp_path / "whole.pt")
    names = [PAIR, f"{tmp_path / 'whole.pt'}+input@1x4x4"]
    for name in names:
        trust(name)
    seen_by_child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout
    monkeypatch.delenv(VARIABLE)
    assert [is_trusted(name) for name in names] == [False, False]
    assert find_model(names[1]).name == "state_dict"
    monkeypatch.setenv(VARIABLE, seen_by_child.strip())  # all that trust is read from
    assert [find_model(name).name for name in names] == ["factory", "whole_module"]
