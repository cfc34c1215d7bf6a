"""Data on the command line: how they are prepared, what is said of them, several kinds of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.commands.asked import data_spec
from pruning_core.errors import PruningError, UnknownName

LENET = "lenet_300_100"
Say = Callable[..., Any]


def test_flags_become_part_of_the_name_of_the_data() -> None:
    assert data_spec("x.csv", "price", "mnist", "crop", "bgr") == "x.csv+y@price+preset@mnist+resize@crop+channels@bgr"
    assert data_spec("x.npz+resize@crop", None, None, "crop", None) == "x.npz+resize@crop"
    assert data_spec(None) is None
    with pytest.raises(UnknownName, match=r"says \+resize@ already"):
        data_spec("x.npz+resize@crop", resize="stretch")
    with pytest.raises(PruningError, match="are of data; name them with --data"):
        data_spec(None, preset="mnist")


def test_a_preset_and_a_size_are_carried_out_and_said(say: Say, tmp_path: Path) -> None:
    np.savez(tmp_path / "large.npz", x=np.zeros((4, 56, 56), np.uint8), y=np.arange(4))
    words = ("measure", LENET, "--data", tmp_path / "large.npz")
    shown = say(*words, "--preset", "zero_to_one", "--resize", "stretch")
    assert "the inputs are prepared as (x × 0.003922 − 0) ÷ 1, resized to 28 × 28 (stretched)" in shown.err


def test_made_up_inputs_say_that_they_are(say: Say) -> None:
    found = say("sensitivity", LENET, "--data", "generated:30", "--levels", "0.5", "--layers", "fc3", "--json")
    assert found.json()["metric"] == "agreement"
    assert found.json()["dense"]["accuracy"] is None
    assert "These inputs are made up and have no labels" in found.err


def test_a_preparation_under_which_a_model_guesses_is_called_that(say: Say, tmp_path: Path) -> None:
    import sample_models

    arrays = sample_models.load_arrays("fashion_mnist")
    np.savez(tmp_path / "clothes.npz", x=arrays["x_test"][:80], y=arrays["y_test"][:80])
    words = ("measure", "resnet_fashion", "--data", tmp_path / "clothes.npz")
    shown = say(*words, "--mean", "-1000")
    assert "near chance (10.0%); prepared as" in shown.err
    assert "use +preset@" in shown.err
    assert "near chance" not in say(*words).err
