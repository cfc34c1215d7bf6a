"""Random weights that are the same each time, and example inputs of a named shape."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pruning_core.loaders.options import input_shapes

BATCH = 2
RANDOM = "random weights (seed 0), so accuracy means nothing here"


@contextmanager
def seed_zero() -> Iterator[None]:
    """Draw the same random numbers each time, and leave those of the caller alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def examples(text: str | None, default: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return inputs (batch, ...) of the shapes in `3x224x224,int64:16`, or the default where none is given."""
    if text is None:
        return default
    return tuple(
        torch.zeros(BATCH, *shape, dtype=getattr(torch, kind or "float32")) for kind, shape in input_shapes(text)
    )
