"""Plans with structures on the sample models: masked, replayed, slimmed and exported answer alike."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import pruning_core as pc
from pruning_core.metrics import METRICS, Structure
from tests.zoo import shaken

ROWS = [
    ("vit_fashion", "head", 0.5),
    ("resnet_fashion", "output_channel", 0.5),
    ("mobilenet_fashion", "output_channel", 0.5),
    ("resnet_fashion", "layer", 1.0),
]
FILES = [pytest.param(*row, marks=[pytest.mark.slow] if row[0] == "mobilenet_fashion" else []) for row in ROWS]


@pytest.mark.parametrize(("name", "granularity", "sparsity"), FILES)
def test_structures_leave_the_model(name: str, granularity: str, sparsity: float, tmp_path: Path) -> None:
    model, data = pc.load_model(name), pc.load_data("fashion_mnist").test.take(40)
    plan, why_dense = pc.uniform_plan(model, pc.LayerPlan(sparsity=sparsity, granularity=granularity))
    why = "differ in shape" if granularity == "layer" else "they reach the model output"
    assert why in " ".join(why_dense.values())
    pc.export(model, plan, tmp_path, data, formats=["slimmed_weights", "slimmed_script", "onnx", "report_json"])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["slimmed"]["params"] < 0.8 * report["dense"]["params"]
    assert report["slimmed"]["macs"] < 0.8 * report["dense"]["macs"]
    exact = pc.Workbench(model, plan=plan).exact()
    assert (exact.slimmed_params, exact.slimmed_macs) == (report["slimmed"]["params"], report["slimmed"]["macs"])
    assert exact.slimmed_bytes == report["slimmed"]["storage"]["dense"]
    assert report["slimmed"]["accuracy"] == report["masked"]["accuracy"]
    assert report["certificate"]["masked_vs_slimmed_max_abs_diff"] < 1e-4
    assert report["certificate"]["slimmed_vs_onnx_max_abs_diff"] < 1e-4
    command = [sys.executable, "load_slimmed.py"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout


@pytest.mark.parametrize(("name", "granularity", "sparsity"), [*ROWS, ("resnet_fashion", "input_channel", 0.5)])
def test_the_workbench_measures_what_the_masked_copy_answers(name: str, granularity: str, sparsity: float) -> None:
    model, dataset = pc.load_model(name), pc.load_data("fashion_mnist")
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=sparsity, granularity=granularity))
    bench = pc.Workbench(model, dataset, plan)
    masked = pc.apply(plan, model)
    chunk = bench.reference.chunks[0]
    with torch.inference_mode():
        right = masked(dataset.validation.batch(chunk)).argmax(-1) == dataset.validation.labels(chunk)
    found = bench.refine(seconds=0)
    assert found.n == len(chunk)
    assert found.accuracy == pytest.approx(float(right.float().mean()), abs=0.011)


def test_two_wishes_for_one_group_are_refused() -> None:
    model = pc.load_model("resnet_fashion")
    plan = pc.plan_for(model).with_layers(
        {
            "conv1": {"sparsity": 0.5, "granularity": "output_channel"},
            "layers.0.conv2": {"sparsity": 0.25, "granularity": "output_channel"},
        }
    )
    with pytest.raises(pc.PruningError, match=r"layers\.0\.conv2: its channels are coupled with those of 'conv1'"):
        pc.masks_for(model, plan)


def test_a_plan_without_structures_cannot_be_slimmed() -> None:
    model = pc.load_model("lenet_300_100")
    plan, _ = pc.uniform_plan(model, pc.LayerPlan(sparsity=0.5))
    with pytest.raises(pc.PruningError, match="removes no whole channel"):
        pc.slim(plan, model)


def test_what_removes_no_structure_has_no_slimmed_figures() -> None:
    model = pc.load_model("lenet_300_100")
    exact = pc.Workbench(model).edit("fc1", sparsity=0.5)
    assert (exact.slimmed_params, exact.slimmed_macs, exact.slimmed_bytes) == (None, None, None)


def test_biases_and_norms_that_go_with_channels_count_as_zero() -> None:
    net = shaken(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 10)))
    model = pc.Model("net", net, (torch.randn(1, 3, 8, 8),))
    plan = pc.plan_for(model).with_layer("0", sparsity=0.5, granularity="output_channel")
    live, measured = pc.Workbench(model).exact(plan), Structure.from_module(model.graph, pc.apply(plan, model))
    assert live.rest.nonzero == measured.rest.nonzero == 3 * 4 + 10  # of bias, scale and shift; the last layer's bias
    assert METRICS["nonzero_params"](live) == METRICS["nonzero_params"](measured)
    assert live.slimmed_params == METRICS["nonzero_params"](live).value
