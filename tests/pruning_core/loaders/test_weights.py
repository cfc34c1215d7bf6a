"""Weights by name meet their architecture: what fits is filled in and told, what does not is named."""

import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

import pruning_core as pc
from pruning_core.errors import FileRefused, PruningError, UnknownName
from pruning_core.loaders import fill
from pruning_core.loaders.trusted import trust
from tests.pruning_core.loaders.made_files import Net, net

AS = f"{__package__}.made_files:pair"
HALF = f"{__package__}.made_files:half"
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _trusted() -> None:
    trust(AS), trust(HALF)


def saved(folder: Path, found: Any, name: str = "net.pt") -> str:
    """The path of a file that holds `found`."""
    save = save_file if name.endswith(".safetensors") else torch.save
    save(found, folder / name)
    return str(folder / name)


def equal(model: pc.Model, state: State) -> bool:
    ours = model.module.state_dict()
    return ours.keys() == state.keys() and all(torch.equal(ours[name], state[name]) for name in state)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt", "net.pth", "net.bin", "net.ckpt"])
def test_the_weights_of_a_file_are_those_of_the_model(tmp_path: Path, name: str) -> None:
    state = net().state_dict()
    path = saved(tmp_path, dict(state), name)
    model = pc.load_model(path, architecture=AS)
    assert equal(model, state)
    assert model.name == f"{path}+as@{AS}"
    assert model.note == f"the weights of '{name}' in {AS}: all 9 weights and buffers of the file"
    assert pc.load_model(model.name).sha256 == model.sha256
    assert not model.module.training


def test_a_file_of_an_old_torch_is_read_too(tmp_path: Path) -> None:
    state = net().state_dict()
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert equal(pc.load_model(str(tmp_path / "old.pt"), architecture=AS), state)


def test_wrapped_half_precision_is_unwrapped_made_float32_and_said(tmp_path: Path) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in net().state_dict().items()
    }
    state["fc.weight"] = state["fc.weight"].bfloat16()
    wrapped = {"epoch": 9, "model_state": {f"module.{name}": tensor for name, tensor in state.items()}}
    model = pc.load_model(saved(tmp_path, wrapped), architecture=AS)
    assert model.note.endswith(
        "all 9 weights and buffers of the file; bfloat16 turned into float32; float16 turned into float32; "
        "taken from 'model_state'; prefix 'module.' taken off"
    )
    assert equal(model, {name: tensor.to(net().state_dict()[name].dtype) for name, tensor in state.items()})


def test_options_and_single_numbers_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    beside = {"args": Namespace(lr=0.1), "best": np.float64(0.9), "epoch": np.int64(3), "loss": np.float32(1)}
    model = pc.load_model(saved(tmp_path, {"model": net().state_dict()} | beside), architecture=AS)
    assert equal(model, net().state_dict())
    with pytest.raises(FileRefused, match=r"holds Python objects \('pathlib\w*.PosixPath'\), which can run code"):
        pc.load_model(saved(tmp_path, {"model": net().state_dict(), "path": tmp_path} | beside), architecture=AS)


def test_names_from_strangers_are_made_fit_for_a_sentence(tmp_path: Path) -> None:
    names = ("a" * 100_000, "line\nbreak", "back\u202ewards", "nul\0")
    with pytest.raises(FileRefused) as refusal:
        pc.load_model(saved(tmp_path, {name: torch.ones(1) for name in names}), architecture=AS)
    said = str(refusal.value)
    assert all(name not in said for name in names)
    assert all(word in said for word in ("'lineU+000Abreak'", "'backU+202Ewards'", "'nulU+0000'"))
    assert len(said) < 1000
    assert said.isprintable()


def test_one_prefix_more_or_less_is_bridged_and_said(tmp_path: Path) -> None:
    state = net().state_dict()
    longer = pc.load_model(saved(tmp_path, {f"backbone.{name}": t for name, t in state.items()}), architecture=AS)
    assert equal(longer, state)
    assert longer.note.endswith("prefix 'backbone.' taken off")
    inner = nn.ModuleDict({"inner": net()})
    shorter, said = fill.aligned(dict(state), inner)
    assert shorter.keys() == inner.state_dict().keys()
    assert said == ("prefix 'inner.' put in front",)


def test_names_of_an_old_torchvision_are_understood() -> None:
    module = models.DenseNet(2, (1, 2), 4, num_classes=3)
    state = module.state_dict()
    old = {re.sub(r"(denselayer\d+\.\w+)([12]\.)", r"\1.\2", name): tensor for name, tensor in state.items()}
    assert "features.denseblock2.denselayer2.norm.1.weight" in old
    found, _ = fill.aligned(old, module)
    assert found.keys() == state.keys()


def test_the_number_of_classes_is_that_of_the_file(tmp_path: Path) -> None:
    state = models.squeezenet1_1(num_classes=7).state_dict()
    model = pc.load_model(saved(tmp_path, state), architecture="torchvision:squeezenet1_1", input_shape="3x64x64")
    assert equal(model, state)
    assert model.note.endswith("7 classes, as in the file")
    assert model.module(model.example_inputs[0]).shape == (2, 7)
    assert model.example_inputs[0].shape == (2, 3, 64, 64)
    assert model.architecture is not None
    assert "num_classes=7" in model.architecture.expression


def test_heads_that_only_training_uses_are_left_out(tmp_path: Path) -> None:
    state = net().state_dict()
    model = pc.load_model(saved(tmp_path, state | {"aux1.conv.weight": torch.ones(2)}), architecture=AS)
    assert equal(model, state)
    assert model.note.endswith("without the heads that only training uses")


def test_counters_that_older_files_lack_are_not_missed(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in net().state_dict().items() if "num_batches" not in name}
    model = pc.load_model(saved(tmp_path, state), architecture=AS)
    assert all(torch.equal(model.module.state_dict()[name], tensor) for name, tensor in state.items())


def without(name: str) -> Callable[[State], State]:
    return lambda state: {other: tensor for other, tensor in state.items() if other != name}


def changed(**tensors: Tensor) -> Callable[[State], State]:
    return lambda state: state | {name.replace("__", "."): tensor for name, tensor in tensors.items()}


DIFFERENT: list[tuple[Callable[[State], State], str, str]] = [
    (without("fc.bias"), "E241", "'net.pt' and {0} differ: in the file are missing: 'fc.bias'; name the right"),
    (changed(head__bias=torch.ones(2)), "E241", "the architecture does not know: 'head.bias'; name the right"),
    (changed(fc__weight=torch.ones(2, 9)), "E242", "have another shape: 'fc.weight' (2, 9) instead of (2, 16); name"),
    (changed(fc__weight=torch.ones(3, 16)), "E242", "have another shape: 'fc.weight' (3, 16) instead of (2, 16); name"),
    (lambda state: {f"{name}!": tensor for name, tensor in state.items()}, "E241", "and 4 more; the architecture does"),
    (changed(fc__weight=torch.ones(2, 16, dtype=torch.int8)), "E207", "'fc.weight' is int8, but the architecture has"),
    (changed(fc__weight=torch.ones(2, 16).to_sparse()), "E207", "'fc.weight' is float32, sparse_coo on cpu, not a"),
    (changed(fc__weight=torch.ones(2, 16, device="meta")), "E207", "'fc.weight' is float32, strided on meta, not a"),
]


@pytest.mark.parametrize(("change", "code", "words"), DIFFERENT)
def test_what_differs_is_named(tmp_path: Path, change: Callable[[State], State], code: str, words: str) -> None:
    path = saved(tmp_path, change(dict(net().state_dict())))
    with pytest.raises(FileRefused) as refusal:
        pc.load_model(path, architecture=AS)
    assert refusal.value.code == code
    assert words.format(AS) in str(refusal.value)


def test_exactly_the_accepted_names_may_differ(tmp_path: Path) -> None:
    state = changed(head__bias=torch.ones(2), fc__weight=torch.ones(3, 16))(
        without("bn.bias")(dict(net().state_dict()))
    )
    path, accept = saved(tmp_path, state), ("bn.bias", "fc.weight", "head.bias")
    model = pc.load_model(path, architecture=AS, accept=accept)
    untouched = pc.load_model(AS).module.state_dict()
    ours = model.module.state_dict()
    assert all(torch.equal(ours[name], untouched[name]) for name in ("bn.bias", "fc.weight"))
    assert torch.equal(ours["conv.weight"], state["conv.weight"])
    assert (
        "7 of the file; accepted as random (seed 0): 'bn.bias', 'fc.weight'; accepted as unused: 'head.bias'"
        in model.note
    )
    assert pc.load_model(model.name).sha256 == model.sha256
    for fewer in (accept[1:], accept[:2]):
        with pytest.raises(FileRefused, match=r"differ: .*('bn.bias'|'head.bias'); name the right"):
            pc.load_model(path, architecture=AS, accept=fewer)
    with pytest.raises(FileRefused, match=r"differ, but not at 'fc.bias', which the accepted names hold"):
        pc.load_model(path, architecture=AS, accept=(*accept, "fc.bias"))


class Tied(nn.Module):
    """The second layer has the weight of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_weights_need_to_be_there_once_and_alike() -> None:
    state = {name: tensor.clone() for name, tensor in Tied().state_dict().items()}
    once = {name: tensor for name, tensor in state.items() if name != "second.weight"}
    assert not fill.difference(once, Tied()).names
    with pytest.raises(FileRefused, match=r"has one weight for 'first.weight' and 'second.weight', the file has two"):
        fill.fill(Tied(), state | {"second.weight": state["first.weight"] + 1}, ())


def test_weights_alone_say_nothing_of_what_is_computed(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"'net.pt' holds 9 weights \('conv.weight', 'conv.bias', .*but not what is"):
        pc.load_model(saved(tmp_path, net().state_dict()))
    with pytest.raises(UnknownName, match=r"'net.onnx' is no architecture; name a sample"):
        pc.load_model(saved(tmp_path, net().state_dict()), architecture="net.onnx")


def test_an_architecture_that_is_code_has_to_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, net().state_dict())
    monkeypatch.setenv("PRUNING_EXPLORER_TRUSTED", "[]")
    with pytest.raises(FileRefused) as refusal:
        pc.load_model(path, architecture=AS)
    assert refusal.value.code == "E249"
    assert pc.load_model(path, architecture=AS, trusted=True).name == f"{path}+as@{AS}"


@pytest.mark.parametrize("name", ["nowhere.pt", "nowhere.safetensors"])
def test_a_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(PruningError, match=f"cannot read '{name}': there is no such file"):
        pc.load_model(name, architecture=AS)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(FileRefused, match="it is no file"):
        pc.load_model(str(tmp_path / "folder.pt"), architecture=AS)


def test_nan_in_a_file_is_refused_by_name(tmp_path: Path) -> None:
    state = changed(fc__bias=torch.tensor([1.0, torch.nan]))(dict(net().state_dict()))
    with pytest.raises(PruningError, match=r"weight 'fc.bias' holds 1 NaN"):
        pc.load_model(saved(tmp_path, state), architecture=AS)


def test_a_sample_is_an_architecture_too(tmp_path: Path) -> None:
    state = {name: tensor + 1 for name, tensor in pc.load_model("lenet_300_100").module.state_dict().items()}
    model = pc.load_model(saved(tmp_path, state, "digits.safetensors"), architecture="lenet_300_100")
    assert equal(model, state)
    assert (model.data_name, model.title) == ("mnist", "LeNet-300-100")


def test_another_architecture_than_the_file_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="in the file are missing: "):
        pc.load_model(saved(tmp_path, net().state_dict()), architecture=HALF)
    assert isinstance(pc.load_model(AS).module, Net)
