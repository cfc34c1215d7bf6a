"""Exported programs, whole modules and TorchScript that are trusted become models that answer as they did."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.errors import FileRefused
from pruning_core.loaders.torchscript import converted
from tests.pruning_core.loaders.made_files import PICTURES, Net, hostile_files, net

INPUTS = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(3))


def exported(path: Path, module: nn.Module, *, batch: bool = True) -> str:
    dynamic = ({0: torch.export.Dim.DYNAMIC},) if batch else None
    torch.export.save(torch.export.export(module, (PICTURES,), dynamic_shapes=dynamic), path)
    return str(path)


def scripted(path: Path, script: Callable[[nn.Module], Any], module: nn.Module) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(script(module), path)
    return str(path)


def recorded(module: nn.Module) -> Any:
    return torch.jit.trace(module, PICTURES)


def check(model: pc.Model, module: nn.Module, layers: list[str]) -> None:
    """The same answers, named weights, and source that builds it again."""
    assert torch.equal(model.module(INPUTS), module(INPUTS))
    assert [layer.name for layer in model.graph.layers] == layers
    assert torch.allclose(model.graph.module(INPUTS), module(INPUTS), rtol=1e-6)
    assert model.graph.unsupported_operators == ()
    assert model.architecture is not None
    scope: dict[str, Any] = {}
    exec(model.architecture.source, scope)
    again = eval(model.architecture.expression, scope).eval()
    again.load_state_dict(model.module.state_dict())
    assert torch.allclose(again(INPUTS), module(INPUTS), rtol=1e-6)


def test_an_exported_program(tmp_path: Path) -> None:
    module = net()
    model = pc.load_model(exported(tmp_path / "net.pt2", module), trusted=True)
    check(model, module, ["conv", "fc"])
    assert (model.name, model.title) == (str(tmp_path / "net.pt2"), "net")


def test_an_exported_program_has_to_fit(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="takes 2 examples at a time, no other number; export it with a dynamic"):
        pc.load_model(exported(tmp_path / "fixed.pt2", net(), batch=False), trusted=True)
    with pytest.raises(FileRefused, match="was exported in training mode; call"):
        pc.load_model(exported(tmp_path / "training.pt2", nn.Sequential(Net(), nn.Dropout()).train()), trusted=True)
    (tmp_path / "damaged.pt2").write_bytes(b"PK")
    with pytest.raises(FileRefused, match="no exported program, or was saved by another version"):
        pc.load_model(str(tmp_path / "damaged.pt2"), trusted=True)


def test_a_whole_module(tmp_path: Path) -> None:
    module = net()
    torch.save(nn.DataParallel(module), tmp_path / "net.pt")
    model = pc.load_model(str(tmp_path / "net.pt"), trusted=True, input_shape="1x4x4")
    check(model, module, ["conv", "fc"])
    assert model.note == "the whole module, from 'net.pt'"


def test_a_whole_module_in_half_precision_is_made_float32_and_said(tmp_path: Path) -> None:
    torch.save(net().half(), tmp_path / "half.pt")
    model = pc.load_model(str(tmp_path / "half.pt"), trusted=True, input_shape="1x4x4")
    assert model.note == "the whole module, float16 turned into float32, from 'half.pt'"
    assert {tensor.dtype for tensor in model.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("script", [torch.jit.script, recorded])
def test_torchscript(tmp_path: Path, script: Callable[[nn.Module], Any]) -> None:
    module = net()
    model = pc.load_model(scripted(tmp_path / "net.pt", script, module), trusted=True, input_shape="1x4x4")
    check(model, module, ["conv", "fc"])
    assert {name for name, _ in model.module.named_parameters()} == {name for name, _ in module.named_parameters()}
    assert "TorchScript, turned into a graph of operators" in model.note


class Upwards(nn.Module):
    """Transposed convolutions, whose recorded operator is the same as that of all others, and one in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 4, 3, stride=2, output_padding=1)
        self.along = nn.Conv1d(4, 6, 2, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(self.up(x).flatten(2))


def test_recorded_convolutions_of_every_kind(tmp_path: Path) -> None:
    module = Upwards().eval()
    model = pc.load_model(scripted(tmp_path / "net.pt", recorded, module), trusted=True, input_shape="1x4x4")
    check(model, module, ["up", "along"])


class InPlace(nn.Module):
    """One operator overwrites what nobody else reads, another what is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        alone = self.first(x).relu_()
        shared = self.second(alone)
        clipped = nn.functional.hardtanh_(shared, -0.1, 0.1)
        return shared * 2 + clipped  # what is read is clipped


@pytest.mark.parametrize("script", [torch.jit.script, recorded])
def test_operators_in_place_do_what_they_did(tmp_path: Path, script: Callable[[nn.Module], Any]) -> None:
    module = InPlace().eval()
    path = scripted(tmp_path / "net.pt", script, module)
    model = pc.load_model(path, trusted=True, input_shape="1x4x4")
    check(model, module, ["first", "second"])
    assert model.module(INPUTS).abs().max() <= 0.3 + 1e-6
    left = [str(node.target) for node in converted(path, (PICTURES,)).graph.nodes]
    assert ("aten.relu.default" in left, "aten.relu_.default" in left) == (True, False)
    assert ("aten.hardtanh_.default" in left) == (script is torch.jit.script)  # a recording says what is read then


class Choosing(nn.Module):
    """Chooses at run time by what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return self.fc(x)
        return self.fc(-x)


def frozen(module: nn.Module) -> Any:
    return torch.jit.freeze(torch.jit.script(module))


@pytest.mark.parametrize(
    ("script", "module", "shape", "code"),
    [
        (frozen, Net(), "1x4x4", "E234"),
        (torch.jit.script, Net(), "1x5x5", "E250"),
        (torch.jit.script, Net(), None, "E233"),
    ],
)
def test_torchscript_that_does_not_fit_is_refused(
    tmp_path: Path, script: Callable[[nn.Module], Any], module: nn.Module, shape: str | None, code: str
) -> None:
    path = scripted(tmp_path / "net.pt", script, module.eval())
    with pytest.raises(FileRefused) as refusal:
        pc.load_model(path, trusted=True, input_shape=shape)
    assert refusal.value.code == code
    assert "\n" not in str(refusal.value)


def test_torchscript_that_chooses_at_run_time_is_refused(tmp_path: Path) -> None:
    path = scripted(tmp_path / "net.pt", torch.jit.script, Choosing().eval())
    with pytest.raises(FileRefused, match="chooses at run time what it computes; export it to ONNX"):
        pc.load_model(path, trusted=True, input_shape="4")


def test_what_a_trusted_file_does_not_hold_is_told(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(1)}, tmp_path / "state.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "damaged.pt").write_bytes(b"nothing")
    for name, code in (("state.pt", "E240"), ("list.pt", "E243"), ("damaged.pt", "E202")):
        with pytest.raises(FileRefused) as refusal:
            pc.load_model(str(tmp_path / name), trusted=True, input_shape="3")
        assert refusal.value.code == code


def test_a_hostile_program_is_not_opened_as_weights(tmp_path: Path) -> None:
    path = str(hostile_files(tmp_path, tmp_path / "marker")["program.pt2"])
    with pytest.raises(FileRefused):
        pc.load_model(path)
    assert not (tmp_path / "marker").exists()
