"""What all tests share: browser tests need Chromium, and on CI its absence is an error, not a skip."""

import os
from pathlib import Path

import pytest
import torch

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def pytest_configure() -> None:
    """One thread: two spinning threads on a busy machine are slower than one, and results do not depend on it."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests where there is no Chromium, except on CI, where they must run."""
    if Path(CHROMIUM).exists() or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}; set CHROMIUM to its path"))
