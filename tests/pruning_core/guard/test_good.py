"""Good files are let through: those of the onnx package, of every family of the zoo, by both exporters of torch."""

import io
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save
from torch import nn

from pruning_core.errors import FileRefused
from pruning_core.guard import check, check_bytes
from pruning_core.sandbox import rehearse
from tests.zoo import SMALL, ZOO, Entry

PACKAGE = Path(onnx.__file__).parent / "backend" / "test" / "data"
ONLY_DYNAMO = ("transformers:gpt2", "transformers:llama")  # the older exporter lacks an operator of theirs
REFUSED = {  # and why
    "test_gradient_of_add": "E224",  # operators for training
    "test_gradient_of_add_and_mul": "E224",
}


def test_models_of_the_onnx_package() -> None:
    files = sorted(PACKAGE.rglob("*.onnx"))
    refusals = {path.parent.name: refusal for path in files if (refusal := _refusal(path.read_bytes(), "onnx"))}
    assert len(files) >= 100
    assert {name: code for name, (code, _) in refusals.items()} == REFUSED, refusals


@pytest.mark.slow
def test_nodes_of_the_onnx_package() -> None:
    """Models of one operator: refused are loops, sparse weights, training and what only these tests define."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for case in collect_testcases("") if case.model is not None]
    refusals = {case.name: _refusal(case.model.SerializeToString(), "onnx") for case in cases}
    codes = {name: refusal[0] for name, refusal in refusals.items() if refusal}
    assert len(cases) > 1000
    assert set(codes.values()) <= {"E221", "E224"}, refusals
    assert len(codes) < 0.05 * len(cases), codes


@pytest.mark.parametrize("name", SMALL)
def test_weights_of_small_models(name: str) -> None:
    assert [_refusal(content, kind) for kind, content in _weights(SMALL[name].module())] == [None] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "entry"), [*ZOO.items(), *SMALL.items()])
def test_exports_of_every_family(name: str, entry: Entry) -> None:
    module = entry.module()
    assert [_refusal(content, kind) for kind, content in _weights(module)] == [None] * 4
    for is_dynamo in (True,) if name in ONLY_DYNAMO else (False, True):
        assert _refusal(_exported(module, entry, is_dynamo), "onnx") is None


@pytest.mark.parametrize("name", ["resnet"])
def test_an_export_is_rehearsed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(_exported(SMALL[name].module(), SMALL[name], False))
    found = rehearse(str(path), "model")
    assert (found["kind"], found["input_shapes"], found["spec"]) == ("onnx", [[3, 32, 32]], str(path))
    assert found["layers"] > 5
    assert set(found["walls"]) == {"files", "network", "processes"}


def test_a_state_dict_becomes_safetensors(tmp_path: Path) -> None:
    from sample_models import load

    path = tmp_path / "mine.pt"
    torch.save({"state_dict": load("lenet_300_100").state_dict(), "epoch": 3}, path)
    first = rehearse(str(path), "weights")
    assert (first["spec"], first["tensors"]) == (str(tmp_path / "mine.safetensors"), 6)
    assert check(tmp_path / "mine.safetensors") == "safetensors"
    found = rehearse(f"{path}+as@lenet_300_100", "model")
    assert found["spec"] == f"{tmp_path}/mine.safetensors+as@lenet_300_100"
    assert "taken from 'state_dict'" in " ".join(found["notes"])
    (tmp_path / "mine.safetensors").write_text("something of mine", "ascii")
    assert rehearse(str(path), "weights")["spec"] == str(tmp_path / "mine-1.safetensors")
    assert (tmp_path / "mine.safetensors").read_text("ascii") == "something of mine"


def _refusal(content: bytes, kind: str) -> tuple[str, str] | None:
    """Return code and sentence of a refusal, or of a file told to be of another kind."""
    try:
        told = check_bytes(content)
    except FileRefused as error:
        return error.code, str(error)
    return None if told == kind else ("told", told)


def _weights(module: nn.Module) -> list[tuple[str, bytes]]:
    """Return the weights in four wrappings, with the kind that each is."""
    state = module.state_dict()
    plain = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    old = io.BytesIO()
    torch.save(state, old, _use_new_zipfile_serialization=False)
    kinds = [("state_dict", old.getvalue()), ("safetensors", save(plain))]
    for content in (state, {"model": state, "epoch": 1, "args": {"lr": 0.1, "tags": ["a"]}, "done": True}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        kinds.append(("state_dict", buffer.getvalue()))
    return kinds


def _exported(module: nn.Module, entry: Entry, dynamo: bool) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(module, entry.inputs(), dynamo=True, verbose=False)
            return program.model_proto.SerializeToString()
        torch.onnx.export(module, entry.inputs(), buffer, dynamo=False, verbose=False)
    return buffer.getvalue()
