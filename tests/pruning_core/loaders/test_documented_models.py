"""The page on models names every form, option, small model and wrapper."""

from pathlib import Path

import pytest

from pruning_core.loaders import MODEL_LOADERS
from pruning_core.loaders.hugging_face_small import SMALL
from pruning_core.loaders.unwrap import WRAPPERS

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")


@pytest.mark.parametrize("form", [loader.form for loader in MODEL_LOADERS.values()])
def test_every_form_of_a_model_is_documented(form: str) -> None:
    assert (f"| {form} |" if form == "a sample's name" else f"| `{form}` |") in PAGE


def test_every_option_is_documented() -> None:
    options = {option for loader in MODEL_LOADERS.values() for option in loader.takes or ()}
    assert all(f"| `+{option}@` |" in PAGE for option in options)


def test_every_small_model_and_every_wrapper_is_documented_in_order() -> None:
    assert all(f"`hf:{name}`" in PAGE for name in SMALL)
    places = [PAGE.index(f"`{name}`", PAGE.index("Checkpoints are unwrapped")) for name in WRAPPERS]
    assert places == sorted(places)
