"""Checkpoints as training scripts write them are unwrapped, and what was done is said."""

from collections import OrderedDict
from typing import Any

import pytest
import torch

from pruning_core.errors import FileRefused
from pruning_core.loaders.unwrap import WRAPPERS, unwrap

PLAIN = {"conv.weight": torch.ones(1), "fc.bias": torch.zeros(2)}


def named(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in PLAIN.items()}


CHECKPOINTS: list[tuple[Any, tuple[str, ...]]] = [
    (PLAIN, ()),
    (OrderedDict(PLAIN), ()),
    ({"state_dict": PLAIN}, ("taken from 'state_dict'",)),
    ({"epoch": 3, "model": PLAIN, "optimizer": {"state": {0: {}}}}, ("taken from 'model'",)),
    ({"model": {"state_dict": PLAIN}}, ("taken from 'model'", "taken from 'state_dict'")),
    ({"ema": named("module."), "args": None}, ("taken from 'ema'", "prefix 'module.' taken off")),
    ({"model": PLAIN, "model_ema": PLAIN}, ("taken from 'model' (not from 'model_ema')",)),
    ({"state_dict": named("model.")}, ("taken from 'state_dict'", "prefix 'model.' taken off")),
    (named("module.model."), ("prefix 'module.' taken off", "prefix 'model.' taken off")),
    (named("module._orig_mod."), ("'_orig_mod.' taken out of the names", "prefix 'module.' taken off")),
    (
        {"conv._orig_mod.weight": PLAIN["conv.weight"], "fc.bias": PLAIN["fc.bias"]},
        ("'_orig_mod.' taken out of the names",),
    ),
    (
        {"n_averaged": torch.tensor(4), **named("module.")},
        ("without 'n_averaged'", "prefix 'module.' taken off"),
    ),
    (PLAIN | {"epoch": 3, 5: "five"}, ("without 'epoch', '5'",)),
]


@pytest.mark.parametrize(("found", "said"), CHECKPOINTS)
def test_a_checkpoint_is_unwrapped_and_it_is_said_how(found: Any, said: tuple[str, ...]) -> None:
    before = set(found)
    state, phrases = unwrap(found)
    assert (state.keys(), phrases) == (PLAIN.keys(), said)
    assert all(state[name] is tensor for name, tensor in PLAIN.items())
    assert set(found) == before  # the mapping that was given stays as it is


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_usual_name_is_looked_into(wrapper: str) -> None:
    assert unwrap({wrapper: PLAIN, "epoch": 1}) == (PLAIN, (f"taken from '{wrapper}'",))


def test_a_prefix_that_only_some_names_have_stays() -> None:
    llama = {"model.layers.0.weight": torch.ones(1), "lm_head.weight": torch.ones(1)}
    assert unwrap(llama) == (llama, ())


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["model"] = found
    return found


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ({}, "E243", "the file holds nothing and no weights by name"),
        ({"optimizer": {}, "epoch": 3}, "E243", "the file holds 'optimizer', 'epoch' and no weights by name"),
        ({str(i): i for i in range(9)}, "E243", "'0', '1', '2', '3', '4' and 4 more"),
        (endless(), "E243", "'model'"),
        ({"a._orig_mod.b": torch.ones(1), "a.b": torch.ones(1)}, "E241", "two weights have the same name"),
    ],
)
def test_what_holds_no_weights_by_name_is_refused(found: Any, code: str, words: str) -> None:
    with pytest.raises(FileRefused, match=words) as refusal:
        unwrap(found)
    assert refusal.value.code == code
