"""Fixtures shared by the tests of the samples."""

from collections.abc import Iterator
from functools import cache

import pytest
import torch

from sample_models import SAMPLES, load_arrays
from sample_models.datasets import ArraySet

cached_arrays = cache(load_arrays)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small gain little from a second thread, and lose much to it when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=list(SAMPLES))
def sample_name(request: pytest.FixtureRequest) -> str:
    """Each sample in turn."""
    return str(request.param)


@pytest.fixture
def mnist() -> ArraySet:
    """The shipped MNIST arrays, read once; tests must not write into them."""
    return cached_arrays("mnist")
