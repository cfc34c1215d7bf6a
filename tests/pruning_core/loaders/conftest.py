"""Tests of loaders trust nothing that other tests trusted, and ask nothing of a network."""

from typing import Any

import pytest

from pruning_core.loaders import network
from pruning_core.loaders.trusted import VARIABLE


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "[]")
    monkeypatch.setattr(network, "answers", lambda _: False)


@pytest.fixture
def no_torchvision_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained weights of torchvision cannot be had."""
    from torchvision import models

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", refuse)
