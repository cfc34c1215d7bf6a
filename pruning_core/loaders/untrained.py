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


def examples(text: str | None, default: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
    """Return inputs (batch, ...) of the shapes in `3x224x224,int64:16`; the default where none is given.

    A type that is not said is that of the default at this place.
    """
    if text is None:
        return default
    types = [example.dtype for example in default]
    return tuple(
        torch.zeros(BATCH, *shape, dtype=getattr(torch, kind) if kind else (types[i : i + 1] or [torch.float32])[0])
        for i, (kind, shape) in enumerate(input_shapes(text))
    )
