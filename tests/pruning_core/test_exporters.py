"""Exporters: every file by its contract, the loader run elsewhere, ONNX equal to torch on samples and MobileNetV2."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

import sample_models
from pruning_core.apply import apply, masked_copy, masks_for, plan_for, uniform_plan
from pruning_core.data import EvalData
from pruning_core.errors import ExportError, UnknownName
from pruning_core.exporters import EXPORTERS, Bundle, bundle_of, export, exporter, onnx_bytes, onnx_layer_nodes
from pruning_core.exporters.seam import known
from pruning_core.exporters.snippet import snippet
from pruning_core.loaders import load_data, load_model
from pruning_core.measure import measure
from pruning_core.model import Architecture, Model
from pruning_core.onnx_export import TOLERANCE, check_batches, feed, largest_difference, session, to_onnx
from pruning_core.plan import LayerPlan, Plan
from pruning_core.preprocessing import Preprocessing
from pruning_core.ranking import Change
from pruning_core.registry import Registry
from pruning_core.slim import forms_of

SOURCE = '''"""A tiny network."""
from __future__ import annotations

from torch import nn


def tiny(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 6))
'''
FILES = {
    "plan": "plan.json",
    "safetensors": "masked.safetensors",
    "onnx": "model.onnx",
    "load_script": "load_pruned.py",
    "report_json": "report.json",
    "report_html": "report.html",
    "snippet": "repeat.py",
}


@cache
def tiny_model(name: str = "tiny") -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6))
    return Model(name, module, (torch.zeros(1, 2, 4),), architecture=Architecture(SOURCE, "tiny(16)"))


def tiny_data(n: int = 90) -> EvalData:
    rng = np.random.default_rng(0)
    return EvalData("noise", "test", rng.normal(size=(n, 2, 4)).astype(np.float32), rng.integers(0, 6, n))


def half(model: Model) -> Plan:
    return plan_for(model).with_layer("1", sparsity=0.5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "not" / "there yet"
    model = tiny_model()
    paths = export(model, half(model), folder, tiny_data())
    assert {path.name for path in paths} == set(FILES.values())
    assert all(path.parent == folder for path in paths)
    return folder


# The seam


def test_the_formats_are_those_of_the_contract() -> None:
    slimmed = {"slimmed_weights": "slimmed.safetensors", "slimmed_script": "load_slimmed.py"}
    assert {name: member.file_name for name, member in EXPORTERS.items()} == FILES | slimmed


@pytest.mark.parametrize("name", list(FILES))
def test_contract(name: str, exported: Path, tmp_path: Path) -> None:
    member = EXPORTERS[name]
    assert member.label
    assert member.doc.endswith(".")
    assert (exported / member.file_name).stat().st_size > 0
    model = tiny_model()
    bundle = bundle_of(model, half(model), tiny_data(), [member])
    member.write(bundle, tmp_path / "one")
    assert (tmp_path / "one").stat().st_size > 0
    if member.needs:
        poor = Bundle(replace(model, architecture=None), bundle.plan, bundle.masks, bundle.masked)
        with pytest.raises(ExportError, match=rf"{re.escape(member.file_name)} cannot be written: "):
            member.write(poor, tmp_path / "two")
        assert not (tmp_path / "two").exists()


def test_a_new_format_is_one_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry: Registry[object] = Registry("export format")
    monkeypatch.setattr("pruning_core.exporters.seam.EXPORTERS", registry)
    monkeypatch.setattr("pruning_core.exporters.EXPORTERS", registry)

    @exporter("names", label="Names", file_name="names.txt")
    def write_names(bundle: Bundle, path: Path) -> None:
        """Write the names of the masked layers."""
        path.write_text(" ".join(bundle.masks))

    model = tiny_model()
    (path,) = export(model, half(model), tmp_path)
    assert path.read_text() == "1"


def test_needs_are_declared() -> None:
    with pytest.raises(ExportError, match="does not name in `needs`"):
        known(None)


def test_what_cannot_be_written_is_left_out_unless_it_is_named(tmp_path: Path) -> None:
    model = replace(tiny_model(), architecture=None)
    names = {path.name for path in export(model, half(model), tmp_path / "a")}
    assert names == {"plan.json", "masked.safetensors", "model.onnx"}
    with pytest.raises(ExportError, match=r"load_pruned\.py cannot be written: it is not known how to build"):
        export(model, half(model), tmp_path / "b", formats=["plan", "load_script"])
    assert list((tmp_path / "b").iterdir()) == []  # all or nothing
    with pytest.raises(UnknownName, match="did you mean 'onnx'"):
        export(model, half(model), tmp_path / "c", formats=["onx"])


def test_a_failure_leaves_the_files_of_before(tmp_path: Path) -> None:
    model = tiny_model()
    export(model, half(model), tmp_path, formats=["plan"])
    before = (tmp_path / "plan.json").read_bytes()
    broken = replace(model, architecture=Architecture("def (", "x"))
    with pytest.raises(ExportError, match="not valid Python"):
        export(broken, half(model).with_layer("1", sparsity=0.9), tmp_path, formats=["plan", "load_script"])
    assert (tmp_path / "plan.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    model = tiny_model()
    with pytest.raises(ExportError, match="cannot write to"):
        export(model, half(model), tmp_path / "file", formats=["plan"])


# The plain files


def test_the_plan_reads_back(exported: Path) -> None:
    assert Plan.read(exported / "plan.json") == half(tiny_model())


def test_the_weights_are_those_of_the_masked_model(exported: Path) -> None:
    model = tiny_model()
    masked = apply(half(model), model).state_dict()
    state = load_file(exported / "masked.safetensors")
    assert {name: tensor.tolist() for name, tensor in state.items()} == {n: t.tolist() for n, t in masked.items()}
    with safe_open(exported / "masked.safetensors", "pt") as opened:
        notes = opened.metadata()
    assert notes["format"] == "pt"
    assert notes["model"] == "tiny"
    assert len(notes["plan_sha256"]) == 64


def test_the_report_is_the_contract_and_names_the_files(exported: Path) -> None:
    report = json.loads((exported / "report.json").read_text("utf-8"))
    assert {"dense", "masked", "slimmed", "certificate", "files"} <= set(report)
    assert set(report["files"]) == set(FILES.values())
    assert report["masked"]["size_bytes"] == (exported / "masked.safetensors").stat().st_size
    assert report["certificate"]["masked_vs_onnx_max_abs_diff"] < 1e-5
    assert report["certificate"]["samples"] == 90


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for key, value in attrs if key in ("src", "href", "action", "data", "poster")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_complete_and_asks_nobody(exported: Path) -> None:
    text = (exported / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.links
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    report = json.loads((exported / "report.json").read_text("utf-8"))
    assert f"{report['masked']['accuracy'] * 100:.2f} %" in page.text
    assert f"{report['dense']['accuracy'] * 100:.2f} %" in page.text
    assert all(how in page.text for how in report["how"].values())
    assert '"sparsity": 0.5' in page.text
    assert "28.57 %" in page.text  # 64 of 224 weights
    assert page.tags.count("meter") == 2  # a row for each layer


def test_names_from_strangers_are_text_on_the_page(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>&\"'"
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Sequential())
    module[1].add_module("<img src=x onerror=alert(1)>", nn.Linear(8, 6))
    model = Model(name, module, (torch.zeros(1, 2, 4),))
    layer = model.graph.layers[0].name
    data = replace(tiny_data(), name="<b>data</b>")
    (path,) = export(model, plan_for(model).with_layer(layer, sparsity=0.5), tmp_path, data, ["report_html"])
    page = Page(path.read_text("utf-8"))
    assert not {"script", "img", "b"} & set(page.tags)
    assert name in page.text
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "<b>data</b>" in page.text


def test_a_report_from_before_gets_the_certificate_of_this_export(tmp_path: Path) -> None:
    model, data = tiny_model(), tiny_data()
    before = measure(model, data, half(model))
    assert before.certificate["masked_vs_onnx_max_abs_diff"] is None
    export(model, half(model), tmp_path, data, ["onnx", "report_json"], report=before)
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["certificate"]["samples"] == 90
    assert report["certificate"]["masked_vs_onnx_max_abs_diff"] < 1e-5
    assert report["masked"] == before.document()["masked"]


def test_the_page_says_no_difference_in_latency(tmp_path: Path) -> None:
    model, data = tiny_model(), tiny_data()
    bundle = bundle_of(model, half(model), data, [EXPORTERS["report_html"]])
    speed = {"median": 2.0, "ratio_to_dense": 0.99, "ratio_interval": [0.9, 1.1], "difference": False}
    report = known(bundle.report)
    dense, masked = (
        report.dense | {"latency_ms": {"torch": speed}},
        known(report.masked) | {"latency_ms": {"torch": speed}},
    )
    for difference in (False, True):
        masked["latency_ms"] = {"torch": speed | {"difference": difference}}
        filled = replace(bundle, report=replace(report, dense=dense, masked=masked))
        EXPORTERS["report_html"].write(filled, tmp_path / "page.html")
        text = Page((tmp_path / "page.html").read_text("utf-8")).text
        assert ("no difference" in text) is not difference
        assert "0.90 to 1.10" in text


def test_the_snippet_repeats_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = load_model("lenet_300_100"), load_data("mnist")
    plan = plan_for(model).with_layer("fc1", sparsity=0.9, criterion="wanda")  # which calibrates
    export(model, plan, tmp_path, data.test, ["plan", "snippet", "report_json"], calibration=data.calibration)
    printed: list[str] = []
    monkeypatch.chdir(tmp_path)
    code = (tmp_path / "repeat.py").read_text("utf-8")
    exec(compile(code, "repeat.py", "exec"), {"print": printed.append})
    again, first = json.loads(printed[0]), json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert again["masked"] == first["masked"]
    assert again["dense"] == first["dense"]


def test_the_snippet_reads_a_file_again_as_it_was_prepared(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (30, 28, 28))
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(30) % 10)
    model = load_model("lenet_300_100")
    data = load_data(str(tmp_path / "mine.npz"), Preprocessing(scale=0.01, mean=(0.2,), std=(0.5,)), model).validation
    text = snippet(model.name, data, None)
    loading = "\n".join(text.splitlines()[:5])  # up to the split
    found: dict[str, Any] = {}
    exec(loading, found)
    assert found["data"].sha256 == data.sha256


# The loader


def run_elsewhere(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, isolated: neither this project nor the working folder is on the path."""
    command = [sys.executable, "-I", "-c", code, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


LOAD = """
import importlib.util, json, os, safetensors.torch, sys, traceback, numpy, torch

def load():
    spec = importlib.util.spec_from_file_location("load_pruned", "load_pruned.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load()
    assert not model.training
    safetensors.torch.save_file(model.state_dict(), "again.safetensors")
    with torch.inference_mode():
        numpy.save("logits.npy", model(torch.from_numpy(numpy.load("inputs.npy"))).numpy())
    assert not [name for name in sys.modules if name.split(".")[0] in ("pruning_core", "sample_models")]

ends = {}
for folder in sys.argv[1:]:
    os.chdir(folder)
    try:
        load()
        ends[folder] = ""
    except BaseException:
        ends[folder] = traceback.format_exc()
print(json.dumps(ends))
"""


def loaded_elsewhere(*folders: Path) -> list[str]:
    """How the loaders of the folders end in one other process, "" or a traceback."""
    done = run_elsewhere(folders[0], LOAD, *map(str, folders))
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    return [ends[str(folder)] for folder in folders]


def for_elsewhere(model: Model, plan: Plan, inputs: Tensor, folder: Path) -> Path:
    export(model, plan, folder, formats=["safetensors", "load_script"])
    np.save(folder / "inputs.npy", inputs.numpy())
    return folder


def assert_same(model: Model, plan: Plan, inputs: Tensor, folder: Path) -> None:
    masked = apply(plan, model)
    again = load_file(folder / "again.safetensors")
    assert set(again) == set(masked.state_dict())
    assert all(torch.equal(again[name], tensor) for name, tensor in masked.state_dict().items())
    with torch.inference_mode():
        expected = masked(inputs).numpy()
    # the same weights; where tensors lie in memory decides which kernel runs, so the last bits may differ
    assert np.allclose(np.load(folder / "logits.npy"), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Folder and end of the loaders of several exports, by name; all in one process, which takes seconds to start."""
    lenet, tiny, images = load_model("lenet_300_100"), tiny_model(), torch.zeros(1, 2, 4)
    folders = {name: tmp_path_factory.mktemp("elsewhere") for name in ("lenet", "other weights", "other net", "code")}
    for_elsewhere(lenet, *lenet_case(), folders["lenet"])
    for_elsewhere(tiny, half(tiny), images, folders["other weights"])
    export(tiny, plan_for(tiny).with_layer("1", sparsity=0.25), folders["other weights"], formats=["safetensors"])
    larger = replace(tiny, architecture=Architecture(SOURCE, "nn.Sequential(*tiny(16), nn.Linear(6, 6))"))
    for_elsewhere(larger, half(larger), images, folders["other net"])
    named = tiny_model("tiny\nraise SystemExit(3)  #")
    for_elsewhere(named, half(named), images, folders["code"])
    said = loaded_elsewhere(*folders.values())
    return {name: (folder, end) for (name, folder), end in zip(folders.items(), said, strict=True)}


def lenet_case() -> tuple[Plan, Tensor]:
    plan, _ = uniform_plan(load_model("lenet_300_100"), LayerPlan(sparsity=0.7))
    return plan, load_data("mnist").test.batch(slice(0, 64))


def test_the_loader_gives_equal_logits_in_an_empty_folder(ends: dict[str, tuple[Path, str]]) -> None:
    folder, end = ends["lenet"]
    assert end == ""
    assert_same(load_model("lenet_300_100"), *lenet_case(), folder)


@pytest.mark.slow
def test_the_loader_of_a_torchvision_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = models.squeezenet1_1(weights=None)
    architecture = Architecture("import torchvision", "torchvision.models.squeezenet1_1(weights=None)")
    model = Model("squeezenet", module, (torch.zeros(1, 3, 64, 64),), architecture=architecture)
    case = plan_for(model).with_layer(model.graph.layers[0].name, sparsity=0.5), torch.randn(2, 3, 64, 64)
    assert loaded_elsewhere(for_elsewhere(model, *case, tmp_path)) == [""]
    assert_same(model, *case, tmp_path)
    assert "Needs torch, safetensors, torchvision." in (tmp_path / "load_pruned.py").read_text("utf-8")


def test_the_loader_runs_as_a_program_and_lists_the_tensors(exported: Path) -> None:
    done = subprocess.run([sys.executable, "-I", str(exported / "load_pruned.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^1\.weight +\(16, 8\) +64 of +128 zero$", done.stdout, re.MULTILINE)
    assert len(done.stdout.splitlines()) == 4


def test_the_loader_refuses_weights_of_another_export(ends: dict[str, tuple[Path, str]]) -> None:
    assert "32 zeros in the weights, not 64 as exported" in ends["other weights"][1]


def test_the_loader_refuses_an_architecture_of_other_tensors(ends: dict[str, tuple[Path, str]]) -> None:
    assert 'Missing key(s) in state_dict: "4.weight", "4.bias"' in ends["other net"][1]


def test_a_name_cannot_become_code(ends: dict[str, tuple[Path, str]]) -> None:
    assert ends["code"][1] == ""


def test_source_with_a_load_of_its_own_is_refused(tmp_path: Path) -> None:
    model = replace(tiny_model(), architecture=Architecture("def load():\n    pass", "load()"))
    with pytest.raises(ExportError, match="defines `load`"):
        export(model, half(model), tmp_path, formats=["load_script"])


# ONNX


def scrambled(module: nn.Module) -> nn.Module:
    """Random batch norm statistics, so that a norm that is left out or doubled is seen."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (part.bias.data, part.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module


def mobilenet_v2() -> Model:
    torch.manual_seed(0)
    return Model("mobilenet_v2", scrambled(models.mobilenet_v2(weights=None)), (torch.zeros(1, 3, 64, 64),))


def transposed() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3), nn.Flatten(), nn.Linear(384, 5))
    return Model("transposed", module, (torch.zeros(1, 1, 8, 8),))


CASES: dict[str, Callable[[], Model]] = {
    **{name: (lambda name=name: load_model(name)) for name in sample_models.SAMPLES},  # type: ignore[misc]
    "transposed": transposed,
    "mobilenet_v2": mobilenet_v2,
}
EACH = [pytest.param(name, marks=[pytest.mark.slow] if name == "mobilenet_v2" else []) for name in CASES]


@cache
def converted(name: str) -> tuple[Model, nn.Module, bytes]:
    model = CASES[name]()
    plan, _ = uniform_plan(model, LayerPlan(sparsity=0.5))
    masks = masks_for(model, plan)
    return model, masked_copy(model, masks), onnx_bytes(model, forms_of(model, Change(masks)))


@pytest.mark.parametrize("name", EACH)
def test_onnx_is_the_masked_model(name: str) -> None:
    model, masked, written = converted(name)
    inputs = torch.randn(5, *model.example_inputs[0].shape[1:])  # another batch than it was traced with
    running = session(written)
    found = running.run(None, feed(running, (inputs,)))[0]
    with torch.inference_mode():
        expected = masked(inputs).numpy()
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
    assert [entry.name for entry in running.get_inputs()] == ["input"]
    assert running.get_inputs()[0].shape[0] == "batch"
    assert running.get_outputs()[0].name == "logits"


@pytest.mark.parametrize("name", EACH)
def test_weights_keep_their_names_and_values(name: str) -> None:
    _, masked, written = converted(name)
    initializers = {
        entry.name: onnx.numpy_helper.to_array(entry) for entry in onnx.load_from_string(written).graph.initializer
    }
    for parameter, tensor in masked.named_parameters():
        assert np.array_equal(initializers[parameter], tensor.detach().numpy()), parameter


@pytest.mark.parametrize("name", EACH)
def test_every_layer_has_its_node(name: str) -> None:
    model, _, written = converted(name)
    proto = onnx.load_from_string(written)
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    nodes = onnx_layer_nodes(proto, model.graph)
    assert sorted(nodes.values()) == sorted(layer.name for layer in model.graph.layers)  # one node for each
    kinds = {node.name: node.op_type for node in proto.graph.node}
    for node, layer in nodes.items():
        expected = "ConvTranspose" if "transpose" in (kind := model.graph.layer(layer).kind) else "Conv"
        assert kinds[node] == expected if kind.startswith("conv") else kinds[node] in {"Gemm", "MatMul"}


@pytest.mark.parametrize("name", EACH)
def test_nothing_of_this_machine_is_written(name: str) -> None:
    _, _, written = converted(name)
    proto = onnx.load_from_string(written)
    onnx.checker.check_model(proto, full_check=True)
    assert not proto.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    for entry in proto.graph.initializer:  # random bytes may spell anything
        entry.ClearField("raw_data")
    written = proto.SerializeToString()
    for place in (b"site-packages", b".py", b"stack_trace", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
        assert place not in written


def test_shapes_are_named_batch_throughout() -> None:
    proto = onnx.load_from_string(converted("vit_fashion")[2])
    symbols = {
        dim.dim_param
        for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    assert "batch" in symbols
    assert not [symbol for symbol in symbols if re.fullmatch(r"s\d+", symbol)]


def test_tied_weights_are_one_layer_in_onnx() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    model = Model("tied", module, (torch.zeros(1, 4),))
    proto = onnx.load_from_string(onnx_bytes(model))
    nodes = onnx_layer_nodes(proto, model.graph)
    assert len(nodes) == 2
    assert set(nodes.values()) == {"0"}


def test_a_model_is_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    dense = onnx_bytes(model)
    monkeypatch.setattr("pruning_core.onnx_export._converted", None)
    plan = half(model)
    masked = onnx_bytes(model, forms_of(model, Change(masks_for(model, plan))))
    assert largest_difference(masked, apply(plan, model), check_batches(tiny_data(), model.example_inputs)) < 1e-5
    assert onnx_bytes(model) == dense != masked
    with pytest.raises(TypeError):  # another module is converted anew
        to_onnx(apply(plan, model), model.example_inputs)


def test_a_module_that_was_changed_is_converted_again() -> None:
    module = nn.Sequential(nn.Linear(4, 3)).eval()
    to_onnx(module, (torch.zeros(1, 4),))
    module[0] = nn.Linear(4, 5)
    inputs = (torch.randn(2, 4),)
    assert largest_difference(to_onnx(module, inputs), module, iter([inputs])) < 1e-5


def test_a_model_of_two_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            out: Tensor = self.fc(a) + b
            return out

    module, inputs = Two().eval(), (torch.randn(3, 3), torch.randn(3, 2))
    written = to_onnx(module, inputs)
    assert [entry.name for entry in session(written).get_inputs()] == ["input_0", "input_1"]
    assert largest_difference(written, module, check_batches(None, inputs)) < 1e-5


def test_a_different_answer_is_refused() -> None:
    model = tiny_model()
    written = onnx_bytes(model)
    other = apply(half(model), model)
    with pytest.raises(ExportError, match=r"answers differ by .* from the model"):
        largest_difference(written, other, check_batches(tiny_data(), model.example_inputs))


def test_what_cannot_be_converted_is_one_sentence() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="cannot be converted to ONNX: ") as caught:
        to_onnx(Branch().eval(), (torch.randn(2, 3),))
    assert "\n" not in str(caught.value)


def test_the_page_has_a_column_for_each_form_and_the_change_is_that_of_the_last(tmp_path: Path) -> None:
    model, data = tiny_model(), tiny_data()
    bundle = bundle_of(model, half(model), data, [EXPORTERS["report_html"]])
    report = known(bundle.report)
    slimmed = known(report.masked) | {"params": report.dense["params"] // 2}
    for form, columns in ((None, ["Dense", "Masked", "Change"]), (slimmed, ["Dense", "Masked", "Slimmed", "Change"])):
        EXPORTERS["report_html"].write(replace(bundle, report=replace(report, slimmed=form)), tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text("utf-8")
        assert "".join(f"<th>{title}</th>" for title in ("", *columns)) in text
        counted = [f"{each['params']:,}" for each in (report.dense, report.masked, form) if each]
        change = "\N{MINUS SIGN}50.0 %" if form else "no change"
        assert "<td>Parameters</td>" + "".join(f"<td>{cell}</td>" for cell in (*counted, change)) in text
