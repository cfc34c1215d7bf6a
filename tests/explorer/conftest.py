"""The command line in this process: what it answers, and a little data for it."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import sample_models
from explorer import cli
from explorer.commands import asked, inspect
from pruning_core import load_model


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on standard output."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Run the command line in this process; models are loaded once, since no command changes one."""
    for module in (asked, inspect):
        monkeypatch.setattr(module, "load_model", cached_model)

    def run(*words: object) -> Answer:
        code = cli.answer([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return run


cached_model = cache(load_model)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Forty digits as raw pixels."""
    arrays = sample_models.load_arrays("mnist")
    np.savez(tmp_path / "digits.npz", x=arrays["x_test"][:40], y=arrays["y_test"][:40])
    return tmp_path / "digits.npz"
