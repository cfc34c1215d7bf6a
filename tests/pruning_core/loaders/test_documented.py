"""The page on data names every form, option, choice and preset."""

from pathlib import Path

import pytest

from pruning_core.loaders import DATA_LOADERS
from pruning_core.loaders.preparing import SETTINGS
from pruning_core.loaders.presets import PRESETS
from pruning_core.metrics import METRICS

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text("utf-8")


@pytest.mark.parametrize("form", [loader.form for loader in DATA_LOADERS.values()])
def test_every_form_of_data_is_documented(form: str) -> None:
    assert (form if form == "a sample's name" else f"`{form}`") in PAGE


def test_every_option_choice_and_preset_is_documented() -> None:
    for setting in SETTINGS.values():
        assert f"`+{setting.name}@`" in PAGE
        assert all(f"`{choice}`" in PAGE for choice in (*setting.choices, *PRESETS))


def test_every_metric_of_numbers_is_documented() -> None:
    for member in METRICS.values():
        assert "numbers" not in member.needs or member.label.lower() in PAGE.lower()
