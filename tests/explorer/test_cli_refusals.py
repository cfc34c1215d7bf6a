"""Requests that the command line cannot meet: one sentence with its code, exit code 2, nothing written."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Say = Callable[..., Any]  # the fixture of conftest.py
LENET = "lenet_300_100"
FEW = ("--samples", "60")
SWEEPING = ("sensitivity", LENET, *FEW)
PRUNING = ("prune", LENET, *FEW, "--out", "{out}")
REFUSALS: list[tuple[tuple[str, ...], str, str]] = [
    (("inspect", "lenet"), "E101", "unknown model 'lenet'; did you mean 'lenet_300_100'?"),
    (("run", "lenet_300"), "E101", "unknown model 'lenet_300'; did you mean"),
    (("lenet_300",), "E101", "unknown model 'lenet_300'; did you mean"),
    (("inspct", LENET), "E100", "unknown command 'inspct'; did you mean 'inspect'?"),
    (("inspect",), "E100", "Missing argument 'MODEL'"),
    (("inspect", LENET, "--jsno"), "E100", "No such option"),
    (("list", "critera"), "E100", "'critera' is not one of 'models', 'data', 'criteria'"),
    (("--port", "x"), "E100", "Invalid value for '--port'"),
    (("measure", LENET, "--data", "mnits"), "E101", "unknown data 'mnits'; did you mean 'mnist'?"),
    (("measure", LENET, "--data", "nowhere.npz"), "E300", "cannot read 'nowhere.npz': there is no such file"),
    (("measure", LENET, "--samples", "0"), "E100", "Invalid value for '--samples'"),
    (("measure", LENET, "--mean", "a,b"), "E100", "--mean 'a,b' is not a list of numbers; write them as 0.1,0.2"),
    (("measure", LENET, "--std", "0"), "E300", "must be finite and above zero"),
    (("measure", LENET, "--mean", "1,2"), "E300", "2 values of mean or std do not fit 1 channels"),
    ((*SWEEPING, "--criterion", "l3"), "E101", "unknown criterion 'l3'"),
    ((*SWEEPING, "--granularity", "colum"), "E101", "unknown granularity 'colum'; did you mean 'column'?"),
    ((*SWEEPING, "--setting", "q=2"), "E101", "unknown setting 'q'"),
    ((*SWEEPING, "--setting", "q"), "E100", "--setting 'q' has no name or no value; write it as n=2"),
    ((*SWEEPING, "--levels", "0.1;0.2"), "E100", "--levels '0.1;0.2' is not a list of numbers"),
    ((*SWEEPING, "--levels", "0.5,1"), "E110", "level 1 is outside 0 to 1"),
    ((*SWEEPING, "--levels", "nan"), "E110", "level nan is outside 0 to 1"),
    ((*SWEEPING, "--layers", "conv"), "E101", "--layers 'conv' matches no layer; there are fc1, fc2, fc3"),
    ((*SWEEPING, "--layers", "("), "E100", "--layers '(' is not a regular expression"),
    ((*SWEEPING, "--granularity", "3:11"), "E110", "fc1: 3:11 needs inputs in groups of 11"),
    ((*SWEEPING, "--levels", "0.5", "--out", "/nowhere/sweep.json"), "E100", "cannot write the sweep to /nowhere"),
    (PRUNING, "E110", "say how much to remove: --sparsity 0.5, --select threshold=0.01, --budget"),
    ((*PRUNING, "--sparsity", "0.5", "--budget", "x"), "E110", "--sparsity and --budget cannot go together"),
    ((*PRUNING, "--sparsity", "0"), "E110", "the plan removes nothing"),
    ((*PRUNING, "--sparsity", "0.001", "--granularity", "row"), "E110", "the plan removes nothing"),
    ((*PRUNING, "--sparsity", "1.5"), "E110", "setting 'sparsity' is 1.5; it takes a number from 0 to 1"),
    ((*PRUNING, "--sparsity", "-0.5"), "E110", "setting 'sparsity' is -0.5"),
    ((*PRUNING, "--sparsity", "nan"), "E110", "setting 'sparsity' is nan"),
    ((*PRUNING, "--sparsity", "x"), "E100", "Invalid value for '--sparsity'"),
    ((*PRUNING, "--sparsity", "1"), "E110", "fc1: sparsity 1 would remove all 235200 blocks"),
    ((*PRUNING, "--granularity", "4:2"), "E111", "4:2 removes nothing; n must be below m"),
    ((*PRUNING, "--granularity", "2:11"), "E111", "fc1: 2:11 needs inputs in groups of 11"),
    ((*PRUNING, "--granularity", "2:4", "--sparsity", "0.3"), "E110", "2:4 removes 0 or 0.5; sparsity 0.3 is"),
    ((*PRUNING, "--granularity", "kernel", "--sparsity", "0.5"), "E111", "a weight without kernel positions"),
    ((*PRUNING, "--granularity", "block", "--setting", "rows=7", "--sparsity", "0.5"), "E111", "do not tile"),
    ((*PRUNING, "--criterion", "bn_scale", "--sparsity", "0.5"), "E120", "bn_scale needs a batch norm after the layer"),
    ((*PRUNING, "--scope", "global", "--sparsity", "0.5"), "E100", "Invalid value for '--scope'"),
    ((*PRUNING, "--budget", "size<=200"), "E110", "the budget 'size<=200' is not understood; 'size<=0.5' of"),
    ((*PRUNING, "--budget", "accuracy_drop<=0.1", "--scope", "model"), "E110", "leave --scope model out"),
    ((*PRUNING, "--budget", "latency<=0.5"), "E110", "latency does not fall with fine_grained"),
    ((*PRUNING, "--budget", "size<=0.5", "--allocation", "erk"), "E110", "a budget is met by the allocation budget"),
    ((*PRUNING, "--allocation", "ekr", "--sparsity", "0.5"), "E101", "unknown allocation 'ekr'; did you mean 'erk'?"),
    ((*PRUNING, "--allocation", "erk"), "E110", "say how much erk removes: --sparsity 0.5"),
    ((*PRUNING, "--allocation", "erk", "--scope", "model"), "E110", "leave --scope model out"),
    ((*PRUNING, "--allocation", "erk", "--sparsity", "0.5", "--granularity", "2:4"), "E110", "n_m removes only"),
    ((*PRUNING, "--plan", "nowhere.json", "--allocation", "erk"), "E110", "a plan file says granularity, criterion"),
    ((*PRUNING, "--plan", "nowhere.json"), "E110", "cannot read the plan nowhere.json"),
    ((*PRUNING, "--plan", "nowhere.json", "--criterion", "l2"), "E110", "a plan file says granularity, criterion"),
    ((*PRUNING, "--select", "threshold"), "E100", "--select 'threshold' has no name or no number; write it as"),
    ((*PRUNING, "--select", "threshold=x"), "E100", "--select 'threshold=x' has no name or no number"),
    ((*PRUNING, "--select", "treshold=0.1"), "E101", "unknown selection 'treshold'; did you mean 'threshold'?"),
    ((*PRUNING, "--select", "threshold=nan"), "E110", "setting 'threshold' is nan"),
    ((*PRUNING, "--select", "threshold=0"), "E110", "the plan removes nothing"),
    ((*PRUNING, "--select", "threshold=9"), "E110", "the threshold 9 would remove all 235200 blocks"),
    ((*PRUNING, "--select", "global_threshold=1"), "E110", "a common threshold would remove all of it"),
    ((*PRUNING, "--select", "threshold=0.1", "--sparsity", "0.5"), "E110", "--sparsity and --select cannot go"),
    ((*PRUNING, "--select", "threshold=0.1", "--scope", "model"), "E110", "leave --allocation and --scope model out"),
    ((*PRUNING, "--select", "threshold=0.1", "--allocation", "erk"), "E110", "leave --allocation and --scope model"),
    ((*PRUNING, "--select", "threshold=0.1", "--granularity", "2:4"), "E111", "so no threshold fits; select it by"),
    ((*PRUNING, "--select", "standard_deviations=1", "--criterion", "random"), "E120", "bound magnitudes, not random"),
    (("prune", LENET, "--sparsity", "0.5"), "E100", "Missing option '--out'"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "reason"), REFUSALS)
def test_a_request_that_cannot_be_met_is_refused_in_one_sentence(
    say: Say, tmp_path: Path, words: tuple[str, ...], code: str, reason: str
) -> None:
    answer = say(*(word.format(out=tmp_path / "out") for word in words))
    assert (answer.code, answer.out) == (2, "")
    last = answer.err.splitlines()[-1]
    assert last.startswith(f"pruning-explorer: {code}: ")
    assert reason in last
    assert all(line.startswith("note: ") for line in answer.err.splitlines()[:-1])
    assert not (tmp_path / "out").exists()


PLANS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"model": {"name": "other", "sha256": "0" * 64}, "layers": {"fc1": {"sparsity": 0.5}}},
        "E112",
        "made for 'other'",
    ),
    ({"layers": {"fc4": {"sparsity": 0.5}}}, "E101", "no prunable layer 'fc4'; did you mean"),
    ({"layers": {"fc1": {"sparsity": 0.5, "criterion": "tailor"}}}, "E101", "did you mean 'taylor'?"),
    ({"layers": {"fc1": {"sparsity": 0.5, "granularity": "rwo"}}}, "E101", "did you mean 'row'?"),
    ({"layers": {"fc1": {"sparsity": 2}}}, "E110", "layers.fc1.sparsity"),
    ({"layers": {"fc1": {"sparsity": 1}}}, "E110", "fc1: sparsity 1 would remove all 235200 blocks"),
    ({"layers": {"fc1": {"sparsity": 0}}}, "E110", "the plan removes nothing"),
    ({}, "E110", "the plan removes nothing"),
]


@pytest.mark.parametrize(("plan", "code", "reason"), PLANS)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    say: Say, tmp_path: Path, plan: dict[str, Any], code: str, reason: str
) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    answer = say("prune", LENET, "--plan", tmp_path / "plan.json", *FEW, "--out", tmp_path / "out")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"pruning-explorer: {code}: ")
    assert reason in answer.err


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ((5, 3, 3), range(5), "E311: data 'odd' has examples of shape (1, 3, 3); the model takes (1, 28, 28)"),
        ((2, 28, 28), (0, 10), "E310: data 'odd': target 10 of example 1 is outside 0 to 9"),
        ((2, 28, 28), (0, 1, 2), "E308: 2 inputs but 3 targets"),
        (
            (2, 28, 28),
            (0.5, 1.0),
            "E309: data 'odd' has 1 numbers to predict for each example, but the model gives 10 numbers; give as "
            "many to predict, or whole class numbers",
        ),
    ],
)
@pytest.mark.parametrize("words", [("measure",), ("sensitivity", "--levels", "0.5"), ("prune", "--sparsity", "0.5")])
def test_data_that_do_not_fit_are_refused(
    say: Say, tmp_path: Path, words: tuple[str, ...], x: tuple[int, ...], y: Any, reason: str
) -> None:
    np.savez(tmp_path / "odd.npz", x=np.zeros(x, np.uint8), y=np.array(list(y)))
    out = ("--out", tmp_path / "out") if words[0] == "prune" else ()
    answer = say(words[0], LENET, *words[1:], "--data", tmp_path / "odd.npz", *out)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[-1] == f"pruning-explorer: {reason}"


def test_a_budget_without_targets_is_refused(say: Say, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.zeros((4, 28, 28), np.uint8))
    words = ("--budget", "accuracy_drop<=0.1", "--data", tmp_path / "bare.npz", "--out", tmp_path / "out")
    assert "E300: data 'bare' has no targets" in say("prune", LENET, *words).err
    assert "agreement with the dense model" in say("sensitivity", LENET, "--data", tmp_path / "bare.npz").out
    measured = say("measure", LENET, "--data", tmp_path / "bare.npz", "--json").json()["dense"]
    assert (measured["accuracy"], measured["accuracy_interval"]) == (None, None)


def test_an_address_in_use_is_refused(say: Say) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = say("run", LENET, "--port", taken.getsockname()[1], "--no-browser")
    assert (answer.code, answer.out) == (2, "")
    assert "E100: cannot listen on 127.0.0.1 at port" in answer.err
    assert "Address already in use" in answer.err
