"""Models of timm, torchvision and Hugging Face by name; without a network they are random, and say so."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants

import pruning_core as pc
from pruning_core.errors import ModelError, UnknownName
from pruning_core.loaders import network
from pruning_core.loaders.hugging_face_small import SMALL
from pruning_core.loaders.seam import load_untrained

NOT_THERE = "random weights: the trained ones could not be downloaded, so accuracy means nothing here"
RANDOM = "random weights (seed 0), so accuracy means nothing here"
TIMM = "timm:test_vit"


def rebuilt(model: pc.Model) -> torch.nn.Module:
    """What the architecture's source makes, with the weights of the model."""
    assert model.architecture is not None
    scope: dict[str, Any] = {}
    exec(model.architecture.source, scope)
    module: torch.nn.Module = eval(model.architecture.expression, scope)
    module.load_state_dict(model.module.state_dict())
    return module.eval()


def check_rebuilt(model: pc.Model) -> None:
    with torch.no_grad():
        assert torch.equal(rebuilt(model)(*model.example_inputs), model.module(*model.example_inputs))


def test_a_model_of_timm() -> None:
    model = pc.load_model(TIMM)
    assert (model.note, model.sha256) == (NOT_THERE, pc.load_model(TIMM).sha256)
    assert model.example_inputs[0].shape == (2, 3, 160, 160)
    assert model.preprocessing == pc.Preprocessing(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    check_rebuilt(model)


def test_trained_weights_of_timm_that_come_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    made = timm.create_model

    def create(name: str, pretrained: bool = False, **options: Any) -> torch.nn.Module:
        module = made(name, **options)
        if pretrained:
            module.head.bias.data += 1
        return module

    monkeypatch.setattr(timm, "create_model", create)
    model = pc.load_model(TIMM)
    assert model.note == "trained weights test_vit.r160_in1k of timm"
    assert torch.equal(model.module.state_dict()["head.bias"], torch.ones(1000))
    assert not model.module.training


def test_the_hub_is_asked_only_where_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for answer in (False, True):
        monkeypatch.setattr(network, "answers", lambda _, answer=answer: answer)
        with network.hugging_face():
            assert constants.HF_HUB_OFFLINE is not answer
            assert socket.getdefaulttimeout() == network.DOWNLOAD_SECONDS
        assert (constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()) == (False, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_vitt", "timm has no model 'test_vitt'; did you mean 'test_vit'"),
        ("test_vit.r160", "timm has no weights 'r160' of 'test_vit'; did you mean 'test_vit.r160_in1k'?"),
        ("local-dir:/tmp", "timm has no model 'local-dir:/tmp'; known: "),
        ("hf-hub:timm/x", "timm has no model 'hf-hub:timm/x'; known: "),
    ],
)
def test_what_timm_does_not_have_is_refused(name: str, words: str) -> None:
    with pytest.raises(UnknownName) as refusal:
        pc.load_model(f"timm:{name}")
    assert str(refusal.value).startswith(words)
    assert len(str(refusal.value)) < 4000  # of a thousand names the first


@pytest.mark.parametrize(
    ("spec", "shape"), [(TIMM, "3x160x160"), ("torchvision:squeezenet1_1", "3x64x64"), ("hf:vit", "3x32x32")]
)
def test_an_architecture_takes_the_classes_it_is_given(spec: str, shape: str) -> None:
    model = load_untrained(f"{spec}+input@{shape}", 7)
    with torch.no_grad():
        assert model.module(*model.example_inputs).shape == (2, 7)
    assert model.note == ""
    check_rebuilt(model)


@pytest.mark.usefixtures("no_torchvision_weights")
def test_an_input_of_another_shape() -> None:
    model = pc.load_model("torchvision:squeezenet1_1", input_shape="3x64x64")
    assert model.example_inputs[0].shape == (2, 3, 64, 64)
    assert pc.load_model(model.name).sha256 == model.sha256


@pytest.mark.parametrize("name", SMALL)
def test_small_models_of_hugging_face_need_no_network(name: str) -> None:
    model = pc.load_model(f"hf:{name}")
    assert (model.note, model.title) == (RANDOM, name)
    assert model.sha256 == pc.load_model(f"hf:{name}").sha256
    assert sum(parameter.numel() for parameter in model.module.parameters()) < 50_000
    check_rebuilt(model)


def test_a_small_language_model_reads_as_many_tokens_as_are_named() -> None:
    (tokens,) = pc.load_model("hf:gpt2", input_shape="16").example_inputs
    assert (tokens.shape, tokens.dtype) == ((2, 16), torch.int64)


def test_a_model_of_hugging_face_in_a_folder_is_trained(tmp_path: Path) -> None:
    small = rebuilt(pc.load_model("hf:gpt2"))
    small.model.transformer.wpe.weight.data += 1
    small.model.bfloat16().save_pretrained(tmp_path / "mine")
    model = pc.load_model(f"hf:{tmp_path}/mine")
    assert model.note == f"trained weights of {tmp_path}/mine; bfloat16 turned into float32"
    assert torch.equal(
        model.module.state_dict()["model.transformer.wpe.weight"], small.model.transformer.wpe.weight.float()
    )
    check_rebuilt(model)
    weights = tmp_path / "mine" / "model.safetensors"
    again = pc.load_model(str(weights), architecture=f"hf:{tmp_path}/mine")
    assert again.sha256 == model.sha256
    weights.unlink()
    assert pc.load_model(f"hf:{tmp_path}/mine").note == NOT_THERE


def test_pictures_are_prepared_as_the_folder_says(tmp_path: Path) -> None:
    rebuilt(pc.load_model("hf:vit")).model.save_pretrained(tmp_path / "mine")
    said = {"do_rescale": True, "rescale_factor": 0.5, "image_mean": [1, 2, 3], "image_std": [4, 5, 6]}
    (tmp_path / "mine" / "preprocessor_config.json").write_text(json.dumps(said | {"image_processor_type": "X"}))
    assert pc.load_model(f"hf:{tmp_path}/mine").preprocessing == pc.Preprocessing(0.5, (1, 2, 3), (4, 5, 6))


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    config = {"model_type": "evil", "architectures": ["EvilForCausalLM"], "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(tmp_path / 'marker')!r})")
    with pytest.raises(ModelError, match="or its kind is not known"):
        pc.load_model(f"hf:{folder}")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("hf:gpt3", UnknownName, "there is no small model 'hf:gpt3'; did you mean 'gpt2'?"),
        ("hf:nobody/nothing", ModelError, "'hf:nobody/nothing' is not here and could not be downloaded"),
    ],
)
def test_what_hugging_face_does_not_have_is_refused(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as refusal:
        pc.load_model(spec)
    assert str(refusal.value).startswith(words)


def test_a_kind_without_logits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "architectures": ["T5Model"]}))
    with pytest.raises(ModelError, match="is T5Model; what classifies pictures or texts, or is a language"):
        pc.load_model(f"hf:{tmp_path}")


@pytest.mark.parametrize(("module", "spec"), [("timm", "timm:resnet18"), ("transformers", "hf:bert")])
def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, module: str, spec: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"^{module} is not installed; pip install pruning-explorer\[hub\]$"):
        pc.load_model(spec)


def test_a_host_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(network, "getproxies", dict)
    assert not network.answers("http://127.0.0.1:9")
