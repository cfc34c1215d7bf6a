"""The contract of every loader of models: the name says it all, the graph is traced, exports load by themselves."""

import pickle
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save_file

import pruning_core as pc
from pruning_core.errors import FileRefused, UnknownName
from pruning_core.loaders import MODEL_LOADERS, find_model, uploads
from pruning_core.loaders.options import split
from pruning_core.loaders.trusted import VARIABLE, trust
from pruning_core.plan import LayerPlan
from pruning_core.sensitivity import norm_statistics
from tests.pruning_core.loaders.made_files import PICTURES, net

PAIR = f"{__package__}.made_files:pair"


def sample(_: Path) -> str:
    return "lenet_300_100"


def factory(_: Path) -> str:
    trust(PAIR)
    return PAIR


def safetensors(folder: Path) -> str:
    save_file(net().state_dict(), folder / "net.safetensors")
    return f"{folder}/net.safetensors+as@{factory(folder)}"


def state_dict(folder: Path) -> str:
    torch.save(net().state_dict(), folder / "net.pt")
    return f"{folder}/net.pt+as@{factory(folder)}"


def whole_module(folder: Path) -> str:
    torch.save(net(), folder / "whole.pt")
    trust(str(folder / "whole.pt"))
    return f"{folder}/whole.pt+input@1x4x4"


def exported_program(folder: Path) -> str:
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(net(), (PICTURES,), dynamic_shapes=dynamic), folder / "net.pt2")
    trust(str(folder / "net.pt2"))
    return str(folder / "net.pt2")


def onnx_file(folder: Path) -> str:
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "weight")
    nodes = [helper.make_node("Gemm", ["x", "weight"], ["y"], transB=1)]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "net.onnx")
    return str(folder / "net.onnx")


def upload(folder: Path) -> str:
    (folder / ("t" * 22)).mkdir()
    state_dict(folder / ("t" * 22))
    return f"upload:{'t' * 22}/net.pt+as@{PAIR}"


def re_estimated(folder: Path) -> str:
    np.savez(folder / "x.npz", x=np.random.default_rng(0).random((16, 4, 4), np.float32))
    return f"{factory(folder)}+norms@{folder}/x.npz"


SPECS: dict[str, Callable[[Path], str]] = {
    "sample": sample,
    "re_estimated": re_estimated,
    "upload": upload,
    "onnx": onnx_file,
    "safetensors": safetensors,
    "whole_module": whole_module,
    "state_dict": state_dict,
    "exported_program": exported_program,
    "hugging_face": lambda _: "hf:gpt2+input@8",
    "timm": lambda _: "timm:test_resnet+input@3x32x32",
    "torchvision": lambda _: "torchvision:squeezenet1_1+input@3x32x32",
    "factory": factory,
}


@pytest.fixture(params=MODEL_LOADERS)
def spec(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_torchvision_weights: None,
) -> str:
    """A name that is the turn of each loader."""
    monkeypatch.setenv(uploads.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(norm_statistics, "EXAMPLES", 16)
    made = SPECS[request.param](tmp_path)
    assert find_model(made).name == request.param
    return made


def test_the_name_says_all_and_what_is_exported_loads_by_itself(spec: str, tmp_path: Path) -> None:
    model = pc.load_model(spec)
    assert model.name == spec
    assert pc.load_model(spec).sha256 == model.sha256
    assert model.graph.layers
    assert model.graph.unsupported_operators == ()
    assert not any(module.training for module in model.module.modules())
    assert {len(example) for example in model.example_inputs} == {2}
    assert pickle.loads(pickle.dumps(model)).sha256 == model.sha256  # as worker processes get it
    plan, _ = pc.uniform_plan(model, LayerPlan(sparsity=0.5))
    pc.export(model, plan, tmp_path / "out", formats=("safetensors", "load_script"))
    again = runpy.run_path(str(tmp_path / "out" / "load_pruned.py"))["load"]()
    with torch.no_grad():
        ours, theirs = pc.apply(plan, model)(*model.example_inputs), again(*model.example_inputs)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_an_option_that_a_loader_does_not_take_is_never_ignored(spec: str) -> None:
    loader = find_model(spec)
    name, _ = split(spec)
    for option in {"as", "accept", "input"} - (loader.takes or {"as", "accept", "input"}):
        try:
            other = find_model(f"{name}+{option}@3")
        except (UnknownName, FileRefused):
            continue
        assert other is not loader  # it is the turn of one that takes it


def test_what_runs_code_is_opened_only_when_trusted(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = find_model(spec)
    monkeypatch.setenv(VARIABLE, "[]")
    if loader.runs_code:
        with pytest.raises(FileRefused):
            pc.load_model(spec)
    else:
        assert find_model(spec) is loader


def test_every_loader_has_a_name_here() -> None:
    assert SPECS.keys() == MODEL_LOADERS.keys()
