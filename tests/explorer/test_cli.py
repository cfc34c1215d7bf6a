"""The command line: documents key by key, refusals in one sentence, exit codes, only the answer on standard output."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from explorer.commands import prune
from pruning_core import load_model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking
from pruning_core.selection import SELECTIONS, select

Say = Callable[..., Any]  # the fixture of conftest.py
LENET = "lenet_300_100"
FEW = ("--samples", "60")
LAYERS = ["fc1", "fc2", "fc3"]
FIGURES = """accuracy accuracy_interval params nonzero_params sparsity macs effective_macs size_bytes storage
latency_ms""".split()
CELL = "layer sparsity measured_sparsity accuracy loss kl agreement accuracy_interval n_samples".split()
SWEEP = "version model data metric n_samples dense granularity criterion exact cells seconds".split()


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
        "granularities": ["fine_grained", "vector", "row", "column", "block", "n_m", "output_channel"],
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
        r"fc1 +linear +300 × 784 +235,500 +88\.3 % +235\.2 k +88\.4 % +Fine, Vector, Row, Column, Block 4×4", shown
    )


def test_sensitivity_gives_the_document_of_the_contract_and_writes_it(say: Say, tmp_path: Path) -> None:
    out = tmp_path / "sweep.json"
    found = say("sensitivity", LENET, *FEW, "--levels", "0.9,0.5", "--out", out, "--json").json()
    assert list(found) == [*SWEEP, "target", "failed", "notices"]
    assert list(found["dense"]) == ["accuracy", "loss"]
    assert all(list(cell)[: len(CELL)] == CELL for cell in found["cells"])
    assert [(cell["layer"], cell["sparsity"]) for cell in found["cells"]] == [
        (n, s) for n in LAYERS for s in (0.5, 0.9)
    ]
    assert (found["n_samples"], found["exact"], found["data"]) == (60, True, "mnist")
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
    sha256 = load_model(LENET).sha256
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


def test_prune_within_a_size_takes_the_least_predicted_drop(say: Say, tmp_path: Path) -> None:
    answer = say("prune", LENET, "--budget", "size<=0.5", *FEW, "--out", tmp_path / "out", "--json")
    report = answer.json()
    assert report["masked"]["storage"]["best"] <= 0.5 * report["dense"]["size_bytes"]
    assert all(line.startswith("note: ") for line in answer.err.splitlines())


def test_prune_by_an_allocation(say: Say, tmp_path: Path) -> None:
    words = ("--allocation", "erk", "--sparsity", "0.8", *FEW, "--out", tmp_path / "erk", "--json")
    report = say("prune", LENET, *words).json()
    assert report["masked"]["sparsity"] == pytest.approx(0.8, abs=1e-4)
    assert len({row["measured_sparsity"] for row in report["layers"]}) == 3
    words = ("--allocation", "sensitivity", "--setting", "tolerance=0.05", *FEW, "--out", tmp_path / "own")
    assert say("prune", LENET, *words).code == 0
    assert Plan.read(tmp_path / "own" / "plan.json").layers


SELECTED = {"sparsity": 0.6, "threshold": 0.02, "standard_deviations": 0.7, "global_threshold": 0.6}


@pytest.mark.parametrize("name", SELECTIONS)
def test_prune_by_every_selection(say: Say, tmp_path: Path, name: str) -> None:
    words = ("--select", f"{name}={SELECTED[name]}", *FEW, "--out", tmp_path / "out", "--json")
    report = say("prune", LENET, *words).json()
    model = load_model(LENET)
    wishes = dict.fromkeys(LAYERS, LayerPlan())
    expected = select(name, Ranking(model), wishes, SELECTED[name])
    assert {row["name"]: row["target_sparsity"] for row in report["layers"]} == {
        layer: wish.sparsity for layer, wish in expected.items()
    }
    assert report["masked"]["sparsity"] > 0.2


def test_prune_by_a_threshold_names_the_layers_that_nothing_lies_below(say: Say, tmp_path: Path) -> None:
    words = ("--select", "threshold=0.04", "--granularity", "row", *FEW, "--out", tmp_path / "out", "--json")
    report = say("prune", LENET, *words).json()
    assert report["left_dense"] == {"fc3": "none of its blocks is chosen by threshold 0.04"}


def test_prune_notes_what_usually_goes_wrong(say: Say, tmp_path: Path) -> None:
    answer = say("prune", LENET, "--sparsity", "0.5", *FEW, "--out", tmp_path / "out")
    note = (
        r"note: fc3: the last layer, which gives the answers, loses 50.0% of its weights; .* what helps: leave it dense"
    )
    assert re.search(note, answer.err)


def test_prune_names_the_layers_that_stay_dense(say: Say, tmp_path: Path) -> None:
    answer = say("prune", LENET, "--granularity", "4:8", *FEW, "--out", tmp_path / "out", "--json")
    assert list(answer.json()["left_dense"]) == ["fc2", "fc3"]
    assert "note: fc3 stays dense: 4:8 needs inputs in groups of 8, this layer has 100" in answer.err
    assert "dense: fc3: 4:8 needs" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_prune_takes_the_options_of_a_plan(say: Say, tmp_path: Path) -> None:
    words = ("--sparsity", "0.3", "--granularity", "output_channel", "--channel-multiple", "32", "--heads", "dimension")
    found = say("prune", LENET, *words, "--through-norms", *FEW, "--out", tmp_path / "out", "--json")
    plan = Plan.read(tmp_path / "out" / "plan.json")
    assert (plan.channel_multiple, plan.through_norms, plan.heads) == (32, True, "dimension")
    kept = {row["name"]: row["kept"] for row in found.json()["layers"]}
    assert kept == {"fc1": 784 * 224, "fc2": 224 * 96, "fc3": 96 * 10}
    words = ("--plan", tmp_path / "out" / "plan.json", "--channel-multiple", "8", "--out", tmp_path / "again")
    assert "leave those options out" in say("prune", LENET, *words).err
    words = ("--sparsity", "0.05", "--granularity", "output_channel", "--channel-multiple", "100")
    found = say("prune", LENET, *words, *FEW, "--out", tmp_path / "all")
    assert "the plan removes nothing" in found.err


def test_inspect_and_sensitivity_take_the_options_of_a_plan(say: Say) -> None:
    options = ("--through-norms", "--heads", "dimension")
    rows = {row["name"]: row for row in say("inspect", "vit_fashion", *options, "--json").json()["layers"]}
    assert "output_channel" in rows["layers.0.attention.qkv"]["granularities"]
    assert rows["patches"]["coupled_with"][0] == "layers.0.attention.proj"
    levels = ("--levels", "0.3", "--layers", "fc1", "--granularity", "output_channel", "--channel-multiple", "64")
    found = say("sensitivity", LENET, *levels, "--samples", "60", "--json").json()
    assert found["options"] == {"channel_multiple": 64}
    assert found["cells"][0]["measured_sparsity"] == pytest.approx(1 - 256 / 300)


def test_prune_names_the_layers_that_a_sparsity_does_not_reach(say: Say, tmp_path: Path) -> None:
    words = ("--sparsity", "0.02", "--granularity", "row", *FEW, "--out", tmp_path / "out", "--json")
    why = {"fc3": "sparsity 0.02 is less than one of its 10 blocks"}
    assert say("prune", LENET, *words).json()["left_dense"] == why


def test_a_criterion_without_meaning_for_a_layer_leaves_it_dense(say: Say, tmp_path: Path) -> None:
    words = ("--criterion", "bn_scale", "--granularity", "row", "--samples", "8")
    swept = say("sensitivity", "resnet_fashion", *words, "--levels", "0.5", "--json")
    assert "note: fc was left out: bn_scale needs a batch norm after the layer" in swept.err
    pruned = say("prune", "resnet_fashion", *words, "--sparsity", "0.5", "--out", tmp_path / "out", "--json")
    assert list(pruned.json()["left_dense"]) == ["fc"]


def test_prune_shows_what_leaves_the_model_beside_what_is_masked(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "measure", partial(prune.measure, seconds=0.2))
    options = "--granularity output_channel --sparsity 0.5 --samples 64 --latency".split()
    text = say("prune", LENET, *options, "--out", str(tmp_path / "out")).out
    assert re.search(r"Dense +Masked +Slimmed +Change", text)
    assert re.search(r"Parameters +266,610 +266,610 +125,810 +-52.8 %", text)
    assert re.search(r"Latency, onnxruntime( +[\d.]+ ms){3} +× 0", text)
    assert re.search(r"Slimmed and masked differ by at most [\d.e-]+ in any output.", text)
    assert "of the slimmed model, on 64 examples" in text
    assert re.search(r"fc3 .* with what it reads or feeds", text)
    assert "not faster" not in text


def test_prune_model_wide(say: Say, tmp_path: Path) -> None:
    words = ("--sparsity", "0.5", "--scope", "model", *FEW, "--out", tmp_path / "out", "--json")
    report = say("prune", LENET, *words).json()
    assert report["masked"]["sparsity"] == pytest.approx(0.5, abs=1e-5)
    assert len({row["measured_sparsity"] for row in report["layers"]}) == 3


def test_prune_overwrites_only_when_told(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    words = ("prune", LENET, "--sparsity", "0.5", *FEW, "--out", tmp_path)
    refusal = f"E400: the folder {tmp_path} is not empty; --force writes into it all the same"
    assert tuple(say(*words)) == (2, "", f"pruning-explorer: {refusal}\n")
    assert say(*words, "--force").code == 0
    assert (tmp_path / "mine.txt").read_text() == "kept"
