"""Functions of your own modules make models, the same each time; what they return wrong is told."""

from pathlib import Path

import pytest
import torch

import pruning_core as pc
from pruning_core.loaders.factory import is_factory

HERE = f"{__package__}.made_files"


@pytest.mark.parametrize(
    ("name", "shape", "made_by"),
    [("pair", None, "pair()[0]"), ("whole", None, "whole().module"), ("Net", "1x4x4", "Net()")],
)
def test_what_a_function_may_return(name: str, shape: str | None, made_by: str) -> None:
    model = pc.load_model(f"{HERE}:{name}", input_shape=shape, trusted=True)
    assert [tuple(example.shape) for example in model.example_inputs] == [(2, 1, 4, 4)]
    assert [layer.name for layer in model.graph.layers] == ["conv", "fc"]
    assert model.architecture is not None
    assert (model.architecture.source, model.architecture.expression) == (f"import {HERE}", f"{HERE}.{made_by}")
    assert pc.load_model(model.name).sha256 == model.sha256  # random weights, but the same ones


def test_a_module_that_is_there_is_taken_as_it_is() -> None:
    model = pc.load_model(f"{HERE}:instance", input_shape="4", trusted=True)
    assert model.module(torch.zeros(3, 4)).shape == (3, 2)
    assert model.architecture is not None
    assert model.architecture.expression == f"{HERE}.instance"


def test_a_named_shape_goes_before_that_of_the_function() -> None:
    found = pc.load_model(f"{HERE}:pair", input_shape="float32:1x4x4", trusted=True)
    assert found.name == f"{HERE}:pair+input@float32:1x4x4"


WRONG = [
    ("instance", "returns no example inputs, so the shape of an input is not known; name it, such as 3x224x224"),
    ("number", "returns int; it returns nn.Module, (nn.Module, example inputs) or pc.Model"),
    ("failing", "failed: ValueError: no luck; it is called without arguments"),
    ("hostile_files", "failed: TypeError: hostile_files() missing 2 required"),
    ("numbr", "has no 'numbr'; did you mean 'number'?"),
    ("Net.nothing", "has no 'Net.nothing'; "),
]


@pytest.mark.parametrize(("name", "words"), WRONG)
def test_what_is_no_model_is_refused(name: str, words: str) -> None:
    with pytest.raises(pc.PruningError) as refusal:
        pc.load_model(f"{HERE}:{name}", trusted=True)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "there is no module 'made_here'; start in its folder, or install it"),
        ("import nothing_like_this", "'made_here' imports 'nothing_like_this', which is not installed; install it"),
        ("1 / 0", "'made_here' cannot be imported: ZeroDivisionError: division by zero; mend it"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / "made_here.py").write_text(source)
    with pytest.raises(pc.PruningError) as refusal:
        pc.load_model("made_here:make", trusted=True)
    assert str(refusal.value) == words


@pytest.mark.parametrize("spec", ["a:b", "a.b:c.d", "a:b+input@3"])
def test_names_of_functions(spec: str) -> None:
    assert is_factory(spec)


@pytest.mark.parametrize("spec", ["a", "a:", ":b", "a/b:c", "a:b()", "a-b:c", "../a:b", "C:\\x.pt", "a:b\n", "a b:c"])
def test_names_that_are_none(spec: str) -> None:
    assert not is_factory(spec)
