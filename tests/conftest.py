"""What all tests share: browser tests need Chromium, and on CI its absence is an error, not a skip."""

import gc
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

import pruning_core as pc
import sample_models
from pruning_core.loaders.seam import DATA_LOADERS, MODEL_LOADERS
from pruning_core.model import state_hash

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def pytest_configure() -> None:
    """One thread: two spinning threads on a busy machine are slower than one, and results do not depend on it.

    What sweeps keep goes to a folder of its own, never to the user's.
    """
    torch.set_num_threads(1)
    os.environ["PRUNING_EXPLORER_DATA"] = tempfile.mkdtemp(prefix="pruning-explorer-tests-")


@pytest.hookimpl(tryfirst=True)  # before the plugin of several processes looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests where there is no Chromium, except on CI, where they must run; one at a time in any case."""
    has_browser = Path(CHROMIUM).exists() or os.environ.get("CI")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
            if not has_browser:
                item.add_marker(pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}; set CHROMIUM to its path"))


def pytest_collection_finish() -> None:
    """Spare the collector the half million objects of the imports: they live for ever, and traces wake it often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_setup() -> None:
    """The same random numbers for a test wherever it stands among the others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _each_sample_is_loaded_once() -> Iterator[None]:
    """Share sample models, their traces and their data between all tests; none of these may be changed."""
    with pytest.MonkeyPatch.context() as patch:
        for loaders in (MODEL_LOADERS, DATA_LOADERS):
            patch.setitem(loaders._members, "sample", replace(loaders["sample"], load=cache(loaders["sample"].load)))
        yield
        for name in sample_models.SAMPLES:
            assert state_hash(pc.load_model(name).module) == state_hash(sample_models.load(name)), name
