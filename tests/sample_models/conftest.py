"""Fixtures shared by the tests of the samples."""

from functools import cache

import pytest

from sample_models import SAMPLES, load_arrays
from sample_models.datasets import ArraySet

cached_arrays = cache(load_arrays)


@pytest.fixture(params=list(SAMPLES))
def sample_name(request: pytest.FixtureRequest) -> str:
    """Each sample in turn."""
    return str(request.param)


@pytest.fixture
def mnist() -> ArraySet:
    """The shipped MNIST arrays, read once; tests must not write into them."""
    return cached_arrays("mnist")
