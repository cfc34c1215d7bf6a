"""Models of every kind on the command line: what is named there, what is trusted there, and what is refused."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pruning_core as pc
from explorer.commands import start
from pruning_core.loaders.trusted import VARIABLE, is_trusted
from tests.pruning_core.loaders.made_files import hostile_files, net

Say = Callable[..., Any]  # the fixture of conftest.py
MADE = "tests.pruning_core.loaders.made_files"
PAIR = f"{MADE}:pair"


@pytest.fixture(autouse=True)
def _trust_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "[]")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({"state_dict": net().state_dict()}, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_a_function_that_is_typed_is_trusted(say: Say) -> None:
    found = say("inspect", PAIR, "--json").json()
    assert (found["model"], [layer["name"] for layer in found["layers"] if layer["prunable"]]) == (PAIR, ["conv", "fc"])
    assert is_trusted(PAIR)
    assert not is_trusted(f"{MADE}:whole")


def test_weights_with_their_architecture(say: Say, weights: Path, tmp_path: Path) -> None:
    words = (weights, "--architecture", PAIR, "--sparsity", "0.5", "--out", tmp_path / "out", "--json")
    answer = say("prune", *words)
    assert answer.json()["masked"]["nonzero_params"] < answer.json()["dense"]["nonzero_params"]
    noted = f"note: {weights}+as@{PAIR}: the weights of 'net.pt' in {PAIR}: all 9 weights and buffers of the file; "
    assert noted + "taken from 'state_dict'" in answer.err
    assert "taken from 'state_dict'" in say("inspect", weights, "--architecture", PAIR).out
    assert (tmp_path / "out" / "load_pruned.py").exists()


def test_names_that_may_differ_are_each_given(say: Say, tmp_path: Path) -> None:
    state = net().state_dict() | {"head.weight": torch.ones(1)}
    del state["fc.bias"]
    torch.save(state, tmp_path / "other.pt")
    words = ("inspect", tmp_path / "other.pt", "--architecture", PAIR)
    assert "E241: 'other.pt' and" in say(*words, "--accept-key", "fc.bias").err
    answer = say(*words, "--accept-key", "fc.bias", "--accept-key", "head.weight")
    assert answer.code == 0
    assert "accepted as random (seed 0): 'fc.bias'; accepted as unused: 'head.weight'" in answer.out


def test_a_file_that_is_trusted_by_name(say: Say, tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pt")
    words = ("inspect", tmp_path / "whole.pt", "--trust-file", tmp_path / "whole.pt")
    assert "E233: " in say(*words).err
    answer = say(*words, "--input-shape", "1x4x4")
    assert answer.code == 0
    assert f"note: {tmp_path}/whole.pt is trusted: opening it may run code" in answer.err


def test_the_input_shape_of_a_model_by_name(say: Say) -> None:
    assert say("inspect", f"{MADE}:instance").err.startswith("pruning-explorer: E233: ")
    found = say("inspect", f"{MADE}:instance", "--input-shape", "5x4", "--json").json()
    assert found["macs"] == 5 * (4 * 3 + 3 * 2)


def test_the_app_is_started_with_the_same_text(say: Say, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(start, "run", lambda *words, **_: started.append(words[:2]))
    say(weights, "--architecture", PAIR, "--data", "table.csv", "--target-column", "kind")
    say("run")
    assert started == [(f"{weights}+as@{PAIR}", "table.csv+y@kind"), (None, None)]
    assert PAIR in os.environ[VARIABLE]


REFUSALS = [
    (("inspect", "{net}"), "E240", "'net.pt' holds 9 weights ('conv.weight', 'conv.bias', 'bn.weight', ...)"),
    (("inspect", "{net}", "--architecture", "lenet_300_100"), "E241", "'net.pt' and lenet_300_100 differ: in the"),
    (("inspect", "{net}", "--architecture", "lenet"), "E101", "unknown model 'lenet'; did you mean"),
    (("inspect", "{net}+as@x:y", "--architecture", "z:y"), "E101", "says +as@ already; leave 'z:y' out"),
    (("inspect", "lenet_300_100", "--architecture", "resnet_fashion"), "E101", "takes no +as@; leave it out"),
    (("inspect", PAIR, "--input-shape", "3,x"), "E200", "the input shape 'x' is not understood; write it without the"),
    (("inspect", PAIR, "--input-shape", "999999999x999999999"), "E200", "is empty or larger than 134,217,728 numbers"),
    (("inspect", PAIR, "--trust-file", "nowhere.pt"), "E100", "--trust-file 'nowhere.pt' is no file; give the path"),
    (("inspect", "{archive}"), "E203", "holds Python objects ('posix.mkdir'), which can run code when"),
    (("inspect", "{program}"), "E206", "runs code when it is opened, and nobody has said that it is trusted; export"),
    (("inspect", "no_such_module:make"), "E101", "there is no module 'no_such_module'; start in its folder"),
    (("--architecture", PAIR), "E100", "no model was named, but options of one were given"),
    (("measure", "lenet_300_100", "--target-column", "y"), "E100", "--target-column names a column of a table; name"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "reason"), REFUSALS)
def test_what_is_refused_is_refused_with_its_code(
    say: Say, weights: Path, tmp_path: Path, words: tuple[str, ...], code: str, reason: str
) -> None:
    (tmp_path / "evil").mkdir()
    evil = hostile_files(tmp_path / "evil", tmp_path / "marker")
    paths = {"net": weights, "archive": evil["archive.pt"], "program": evil["program.pt2"]}
    answer = say(*(word.format(**paths) for word in words))
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(rf"pruning-explorer: {code}: .*{re.escape(reason)}.*\n", answer.err), answer.err
    assert not (tmp_path / "marker").exists()


def test_nothing_is_trusted_by_a_link() -> None:
    with pytest.raises(pc.PruningError):
        pc.load_model(PAIR)
