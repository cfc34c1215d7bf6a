"""The command line: documents key by key, refusals in one sentence, exit codes, only the answer on standard output."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sample_models
from explorer import cli
from explorer.commands import asked, inspect, measure, prune, sensitivity, start
from pruning_core import load_model
from pruning_core.errors import PruningError
from pruning_core.plan import Plan

LENET = "lenet_300_100"
FEW = ("--samples", "60")
LAYERS = ["fc1", "fc2", "fc3"]
FIGURES = """accuracy accuracy_interval params nonzero_params sparsity macs effective_macs size_bytes storage
latency_ms""".split()
CELL = "layer sparsity measured_sparsity accuracy loss kl agreement accuracy_interval n_samples".split()
SWEEP = "version model data metric n_samples dense granularity criterion exact cells seconds".split()


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on standard output."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Say = Callable[..., Answer]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command line in this process; models are loaded once, since no command changes one."""
    for module in (asked, inspect):
        monkeypatch.setattr(module, "load_model", cached_model)

    def run(*words: object) -> Answer:
        code = cli.answer([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return run


cached_model = cache(load_model)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Forty digits as raw pixels."""
    arrays = sample_models.load_arrays("mnist")
    np.savez(tmp_path / "digits.npz", x=arrays["x_test"][:40], y=arrays["y_test"][:40])
    return tmp_path / "digits.npz"


def test_inspect_gives_the_document_of_the_contract(say: Say) -> None:
    found = say("inspect", LENET, "--json").json()
    assert list(found) == ["model", "params", "macs", "size_bytes", "layers", "unsupported_operators"]
    assert (found["model"], found["params"], found["macs"]) == (LENET, 266610, 266200)
    assert found["size_bytes"] == 4 * 266610
    assert found["layers"][0] == {
        "name": "fc1",
        "kind": "linear",
        "weight_shape": [300, 784],
        "params": 235500,
        "macs": 235200,
        "coupled_with": [],
        "granularities": ["fine_grained", "row", "column", "block", "n_m"],
        "prunable": True,
        "why_not": None,
    }
    assert [layer["name"] for layer in found["layers"]] == LAYERS
    assert found["unsupported_operators"] == []


def test_inspect_lists_what_cannot_be_pruned_and_why(say: Say) -> None:
    rows = [row for row in say("inspect", "vit_fashion", "--json").json()["layers"] if not row["prunable"]]
    assert rows
    assert all(row["why_not"] and row["granularities"] == [] for row in rows)
    shown = say("inspect", "vit_fashion").out
    assert "Not prunable" in shown
    assert rows[0]["why_not"] in shown


def test_inspect_for_people_has_units(say: Say) -> None:
    shown = say("inspect", LENET).out
    assert "266,610 parameters, 1.066 MB" in shown
    assert "FLOPs = 2 × MACs" in shown
    assert re.search(
        r"fc1 +linear +300 × 784 +235,500 +88\.3 % +235\.2 k +88\.4 % +Fine, Row, Column, Block 4×4", shown
    )


def test_sensitivity_gives_the_document_of_the_contract_and_writes_it(say: Say, tmp_path: Path) -> None:
    out = tmp_path / "sweep.json"
    found = say("sensitivity", LENET, *FEW, "--levels", "0.9,0.5", "--out", out, "--json").json()
    assert list(found) == SWEEP
    assert list(found["dense"]) == ["accuracy", "loss"]
    assert all(list(cell) == CELL for cell in found["cells"])
    assert [(cell["layer"], cell["sparsity"]) for cell in found["cells"]] == [
        (n, s) for n in LAYERS for s in (0.5, 0.9)
    ]
    assert (found["n_samples"], found["exact"], found["data"]) == (60, False, "mnist")
    assert json.loads(out.read_text()) == found


def test_sensitivity_takes_layers_by_expression(say: Say) -> None:
    cells = say("sensitivity", LENET, *FEW, "--levels", "0.5", "--layers", "[12]$", "--json").json()["cells"]
    assert [cell["layer"] for cell in cells] == ["fc1", "fc2"]


def test_sensitivity_is_exact_on_all_examples(say: Say, digits: Path) -> None:
    words = ("sensitivity", LENET, "--data", digits, "--levels", "0.5", "--layers", "fc3")
    found = say(*words, "--exact", "--json").json()
    assert (found["exact"], found["n_samples"]) == (True, 40)
    shown = say(*words)
    assert "40 examples of digits" in shown.out
    assert "the inputs are prepared as (x × 0.003922 − 0.1307) ÷ 0.3081" in shown.err


def test_a_pattern_has_its_own_level_and_layers_left_out_are_named(say: Say) -> None:
    answer = say("sensitivity", LENET, *FEW, "--granularity", "2:8", "--json")
    assert {(cell["layer"], cell["sparsity"]) for cell in answer.json()["cells"]} == {("fc1", 0.75)}
    assert "note: fc2 was left out: 2:8 needs inputs in groups of 8, this layer has 300" in answer.err


def test_measure_tells_how_every_number_came_about(say: Say) -> None:
    found = say("measure", LENET, *FEW, "--json").json()
    assert set(FIGURES) <= set(found["dense"])
    assert (found["masked"], found["slimmed"], found["split"], found["dense"]["n"]) == (None, None, "test", 60)
    assert found["dense"]["latency_ms"] == {}
    shown = say("measure", LENET, *FEW).out
    assert re.search(
        r"Accuracy +\d+\.\d\d % +\d+\.\d\d % to \d+\.\d\d % +\d+ of 60 examples answered right; Wilson", shown
    )


def test_measure_prepares_data_as_it_is_told(say: Say, digits: Path) -> None:
    words = ("measure", LENET, "--data", digits, "--json")
    preset, told = say(*words), say(*words, "--scale", 1 / 255, "--mean", "0.1307", "--std", "0.3081")
    assert preset.json()["dense"]["accuracy"] == told.json()["dense"]["accuracy"] > 0.9
    assert "÷ 1" in say(*words, "--scale", "0.5").err


def test_prune_writes_the_files_of_the_contract(say: Say, tmp_path: Path) -> None:
    report = say("prune", LENET, "--sparsity", "0.5", *FEW, "--out", tmp_path / "out", "--json").json()
    assert {"dense", "masked", "slimmed", "certificate", "files"} <= set(report)
    assert all(set(FIGURES) <= set(report[form]) for form in ("dense", "masked"))
    assert {"masked_vs_slimmed_max_abs_diff", "slimmed_vs_onnx_max_abs_diff", "samples"} <= set(report["certificate"])
    assert {"dense", "bitmask", "csr", "n_m"} <= set(report["masked"]["storage"])
    assert (report["masked"]["sparsity"], report["slimmed"], report["split"]) == (0.5, None, "test")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == set(report["files"])
    assert files >= {"plan.json", "masked.safetensors", "model.onnx", "load_pruned.py", "report.json", "report.html"}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_prune_repeats_a_plan(say: Say, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    sha256 = cached_model(LENET).sha256
    plan.write_text(json.dumps({"model": {"name": LENET, "sha256": sha256}, "layers": {"fc1": {"sparsity": 0.9}}}))
    answer = say("prune", LENET, "--plan", plan, *FEW, "--out", tmp_path / "out")
    assert answer.code == 0
    assert re.search(r"fc1 +235,200 +23,520 +90\.00 % +fine_grained +l1", answer.out)
    assert re.search(r"fc2 +30,000 +30,000 +0\.00 % +dense", answer.out)
    assert "zeros in place: smaller when compressed, not faster" in answer.out


def test_prune_within_a_budget_measures_all_layers_together(say: Say, tmp_path: Path) -> None:
    answer = say("prune", LENET, "--budget", "accuracy_drop<=0.05", *FEW, "--out", tmp_path / "out")
    chosen = re.search(r"Chosen on 60 validation examples: accuracy drop (\S+) measured together", answer.out)
    assert chosen, answer.err
    assert float(chosen[1]) <= 0.05
    assert Plan.read(tmp_path / "out" / "plan.json").layers


def test_prune_names_the_layers_that_stay_dense(say: Say, tmp_path: Path) -> None:
    answer = say("prune", LENET, "--granularity", "4:8", *FEW, "--out", tmp_path / "out", "--json")
    assert list(answer.json()["left_dense"]) == ["fc2", "fc3"]
    assert "note: fc3 stays dense: 4:8 needs inputs in groups of 8, this layer has 100" in answer.err
    assert "dense: fc3: 4:8 needs" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_prune_names_the_layers_that_a_sparsity_does_not_reach(say: Say, tmp_path: Path) -> None:
    words = ("--sparsity", "0.02", "--granularity", "row", *FEW, "--out", tmp_path / "out", "--json")
    assert say("prune", LENET, *words).json()["left_dense"] == {"fc3": "sparsity 0.02 is less than one of its blocks"}


def test_a_criterion_without_meaning_for_a_layer_leaves_it_dense(say: Say, tmp_path: Path) -> None:
    words = ("--criterion", "bn_scale", "--samples", "8")
    swept = say("sensitivity", "resnet_fashion", *words, "--levels", "0.5", "--json")
    assert "note: fc was left out: bn_scale needs a batch norm after the layer" in swept.err
    pruned = say("prune", "resnet_fashion", *words, "--sparsity", "0.5", "--out", tmp_path / "out", "--json")
    assert list(pruned.json()["left_dense"]) == ["fc"]


def test_prune_model_wide(say: Say, tmp_path: Path) -> None:
    words = ("--sparsity", "0.5", "--scope", "model", *FEW, "--out", tmp_path / "out", "--json")
    report = say("prune", LENET, *words).json()
    assert report["masked"]["sparsity"] == pytest.approx(0.5, abs=1e-5)
    assert len({row["measured_sparsity"] for row in report["layers"]}) == 3


def test_prune_overwrites_only_when_told(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    words = ("prune", LENET, "--sparsity", "0.5", *FEW, "--out", tmp_path)
    assert say(*words) == Answer(
        2, "", f"pruning-explorer: E400: the folder {tmp_path} is not empty; --force writes into it all the same\n"
    )
    assert say(*words, "--force").code == 0
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("what", ["data", "criteria", "granularities", "schedules", "allocations", "models"])
def test_list_names_every_member_with_a_sentence(say: Say, what: str) -> None:
    rows = say("list", what, "--json").json()
    assert rows
    assert all(row["name"] and row["label"] and len(row["doc"]) > 20 for row in rows)
    assert all(row["name"] in say("list", what).out for row in rows)


def test_list_collapses_torchvision(say: Say) -> None:
    few, every = (say("list", "models", *more, "--json").json() for more in ((), ("--all",)))
    assert [row["name"] for row in few if row["name"].startswith("torchvision")] == ["torchvision:NAME"]
    assert "torchvision:resnet18" in {row["name"] for row in every}


def test_list_says_in_words_that_there_is_nothing(say: Say) -> None:
    assert say("list", "recoveries", "--json").json() == []
    assert say("list", "recoveries").out.startswith("There are no recoveries yet")


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
    ((*SWEEPING, "--granularity", "3:11"), "E111", "fc1: 3:11 needs inputs in groups of 11"),
    ((*SWEEPING, "--levels", "0.5", "--out", "/nowhere/sweep.json"), "E100", "cannot write the sweep to /nowhere"),
    (PRUNING, "E110", "say how much to remove: --sparsity 0.5, --budget"),
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
    ((*PRUNING, "--budget", "size<=0.5"), "E110", "the budget 'size<=0.5' is not understood"),
    ((*PRUNING, "--budget", "accuracy_drop<=0.1", "--scope", "model"), "E110", "leave --scope model out"),
    ((*PRUNING, "--plan", "nowhere.json"), "E110", "cannot read the plan nowhere.json"),
    ((*PRUNING, "--plan", "nowhere.json", "--criterion", "l2"), "E110", "a plan file says granularity, criterion"),
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
        ((5, 3, 3), range(5), "data 'odd' has examples of shape (1, 3, 3); the model takes (1, 28, 28)"),
        ((2, 28, 28), (0, 10), "data 'odd': target 10 of example 1 is outside 0 to 9"),
        ((2, 28, 28), (0, 1, 2), "2 inputs but 3 targets"),
        ((2, 28, 28), (0.5, 1.0), "targets are float64; whole class numbers are needed"),
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
    assert answer.err.splitlines()[-1] == f"pruning-explorer: E300: {reason}"


def test_a_budget_without_targets_is_refused(say: Say, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.zeros((4, 28, 28), np.uint8))
    words = ("--budget", "accuracy_drop<=0.1", "--data", tmp_path / "bare.npz", "--out", tmp_path / "out")
    assert "E300: data 'bare' has no targets" in say("prune", LENET, *words).err
    assert "agreement with the dense model" in say("sensitivity", LENET, "--data", tmp_path / "bare.npz").out
    measured = say("measure", LENET, "--data", tmp_path / "bare.npz", "--json").json()["dense"]
    assert (measured["accuracy"], measured["accuracy_interval"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (None, None, "127.0.0.1", 8501, True)),
        ((LENET,), (LENET, None, "127.0.0.1", 8501, True)),
        (("run", LENET, "--data", "mnist"), (LENET, "mnist", "127.0.0.1", 8501, True)),
        (("--host", "0.0.0.0", "--port", "9000", "--no-browser"), (None, None, "0.0.0.0", 9000, False)),
    ],
)
def test_the_app_starts_when_no_command_is_named(
    say: Say, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: tuple[object, ...]
) -> None:
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(start, "run", lambda *args, open_browser: started.append((*args, open_browser)))
    assert say(*words).code == 0
    assert started == [expected]


def test_usage_errors_have_the_code_of_the_root_of_all_errors() -> None:
    assert PruningError.code == cli.USAGE


def test_an_interrupt_ends_without_a_traceback(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "measure", interrupt)
    assert say("measure", LENET, *FEW) == Answer(130, "", "")


def test_a_defect_is_not_hidden(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        say("prune", LENET, "--sparsity", "0.5", *FEW, "--out", "unwritten")


def test_progress_is_only_for_terminals(say: Say) -> None:
    assert sensitivity.QUICK == 512
    assert say("sensitivity", LENET, *FEW, "--levels", "0.5").err == ""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_help_is_quick_since_torch_and_streamlit_wait() -> None:
    loaded = "len({'torch', 'streamlit', 'pruning_core'} & {*sys.modules})"
    done = python(f"import sys; from explorer import cli; cli.answer(['--help']); sys.exit({loaded})")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: pruning-explorer" in done.stdout


def test_a_process_prints_one_document_and_leaves_with_0() -> None:
    done = python(f"from explorer.cli import main; main(['inspect', '{LENET}', '--json'])")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["model"] == LENET


def test_a_process_refuses_with_2_and_no_traceback() -> None:
    done = python(
        f"from explorer.cli import main; main(['prune', '{LENET}', '--budget', 'x', '--out', '/nowhere/out'])"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"pruning-explorer: E110: the budget 'x' is not understood; .*\n", done.stderr)


def test_ctrl_c_ends_a_process_with_130_and_no_traceback() -> None:
    interrupted = "update = lambda *_: os.kill(os.getpid(), signal.SIGINT)"
    code = f"""
import os, signal
from explorer.cli import main
from explorer.commands import sensitivity
{interrupted}
sensitivity.sweep = lambda *_, on_progress, **__: update() or signal.pause()
main(["sensitivity", "{LENET}"])
"""
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
