"""The command line: lists, the start of the app, interrupts, and real processes with their exit codes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from explorer import cli
from explorer.commands import measure, prune, start
from pruning_core.errors import PruningError

Say = Callable[..., Any]  # the fixture of conftest.py
LENET = "lenet_300_100"
FEW = ("--samples", "60")


SEAMS = ["data", "criteria", "granularities", "selections", "schedules", "allocations", "models"]


@pytest.mark.parametrize("what", SEAMS)
def test_list_names_every_member_with_a_sentence(say: Say, what: str) -> None:
    rows = say("list", what, "--json").json()
    assert rows
    assert all(row["name"] and row["label"] and len(row["doc"]) > 20 for row in rows)
    assert all(row["name"] in say("list", what).out for row in rows)


def test_list_says_what_a_criterion_needs_and_what_the_number_of_a_selection_is(say: Say) -> None:
    criteria = {row["name"]: row for row in say("list", "criteria", "--json").json()}
    assert criteria["l1"]["requirements"] == []
    assert criteria["wanda"]["requirements"] == ["the layer's inputs on calibration data"]
    assert re.search(r"\nwanda +Wanda +the layer's inputs on calibration data +\|w_ij\|", say("list", "criteria").out)
    selections = {row["name"]: row for row in say("list", "selections", "--json").json()}
    assert selections["threshold"]["unit"] == "score per weight"
    assert selections["standard_deviations"]["settings"] == {"deviations": 0.5}


def test_list_collapses_torchvision(say: Say) -> None:
    few, every = (say("list", "models", *more, "--json").json() for more in ((), ("--all",)))
    assert [row["name"] for row in few if row["name"].startswith("torchvision")] == ["torchvision:NAME"]
    assert "torchvision:resnet18" in {row["name"] for row in every}


def test_list_says_in_words_that_there_is_nothing(say: Say) -> None:
    assert say("list", "recoveries", "--json").json() == []
    assert say("list", "recoveries").out.startswith("There are no recoveries yet")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (None, None, start.Hosting("127.0.0.1", 8501), True, 1)),
        ((LENET,), (LENET, None, start.Hosting("127.0.0.1", 8501), True, 1)),
        (("run", LENET, "--data", "mnist"), (LENET, "mnist", start.Hosting("127.0.0.1", 8501), True, 1)),
        (
            ("--host", "0.0.0.0", "--port", "9000", "--no-browser"),
            (None, None, start.Hosting("0.0.0.0", 9000), False, 1),
        ),
        (("--workers", "3"), (None, None, start.Hosting("127.0.0.1", 8501), True, 3)),
    ],
)
def test_the_app_starts_when_no_command_is_named(
    say: Say, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: tuple[object, ...]
) -> None:
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(start, "run", lambda *args, **more: started.append((*args, *more.values())))
    assert say(*words).code == 0
    assert started == [expected]


def test_usage_errors_have_the_code_of_the_root_of_all_errors() -> None:
    assert PruningError.code == cli.USAGE


def test_an_interrupt_ends_without_a_traceback(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "measure", interrupt)
    assert tuple(say("measure", LENET, *FEW)) == (130, "", "")


def test_a_defect_is_not_hidden(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        say("prune", LENET, "--sparsity", "0.5", *FEW, "--out", "unwritten")


def test_progress_is_only_for_terminals(say: Say) -> None:
    assert say("sensitivity", LENET, *FEW, "--levels", "0.5").err == ""


LOADED = "len({'torch', 'streamlit', 'pruning_core'} & {*sys.modules})"
PROGRAMS = {
    "help": f"import sys; from explorer import cli; cli.answer(['--help']); sys.exit({LOADED})",
    "document": f"from explorer.cli import main; main(['inspect', '{LENET}', '--json'])",
    "refusal": f"from explorer.cli import main; main(['prune', '{LENET}', '--budget', 'x', '--out', '/nowhere/out'])",
    "interrupt": f"""
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
from explorer.cli import main
from explorer.commands import sensitivity
update = lambda *_: os.kill(os.getpid(), signal.SIGINT)
sensitivity.sweep = lambda *_, on_progress, **__: update() or signal.pause()
main(["sensitivity", "{LENET}"])
""",
}


@pytest.fixture(scope="module")
def ended() -> dict[str, tuple[int, str, str]]:
    """How each program ends: its code, output and errors. They run side by side, since each takes seconds to start."""
    started = {
        name: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name, code in PROGRAMS.items()
    }
    said = {name: process.communicate(timeout=120) for name, process in started.items()}
    return {name: (started[name].returncode, *said[name]) for name in started}


def test_help_is_quick_since_torch_and_streamlit_wait(ended: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = ended["help"]
    assert (code, err) == (0, "")
    assert "Usage: pruning-explorer" in out


def test_a_process_prints_one_document_and_leaves_with_0(ended: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = ended["document"]
    assert (code, err) == (0, "")
    assert json.loads(out)["model"] == LENET


def test_a_process_refuses_with_2_and_no_traceback(ended: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = ended["refusal"]
    assert (code, out) == (2, "")
    assert re.fullmatch(r"pruning-explorer: E110: the budget 'x' is not understood; .*\n", err)


def test_ctrl_c_ends_a_process_with_130_and_no_traceback(ended: dict[str, tuple[int, str, str]]) -> None:
    assert ended["interrupt"] == (130, "", "")
