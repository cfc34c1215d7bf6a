"""Inputs made up where there are no data: `generated:256`, normal numbers; `generated:uniform:256`, from 0 to 1."""

import re

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import data_loader
from pruning_core.model import Model
from pruning_core.vocabulary import vocabulary

FORM = re.compile(r"generated(?::(normal|uniform))?(?::([1-9]\d{0,5}))?")
DEFAULT = 256
NOTE = (
    "These inputs are made up and have no labels: what is measured is how far a pruned model answers as the dense one "
    "does on noise, which says little about real data."
)


@data_loader(
    "generated",
    form="generated:N",
    can_load=lambda spec: FORM.fullmatch(split(spec)[0]) is not None,
    names=lambda: (("generated:256", "256 made-up examples"),),
)
def load_generated(spec: str, model: Model | None = None) -> Dataset:
    """Make inputs of the model's shapes by seed 0; tokens are drawn from all that the model knows."""
    name = split(spec)[0]
    found = FORM.fullmatch(name)
    if model is None or found is None:
        raise DataError(f"'{name}' is made in the shape of a model's inputs; name the model too")
    kind, n = found[1] or "normal", int(found[2] or DEFAULT)
    first, *more = (_input(model, place, n, kind) for place in range(len(model.example_inputs)))
    tokens = not model.example_inputs[0].is_floating_point()
    data = EvalData(name, "all", first, None, tokens=tokens, more=tuple(more))
    return Dataset(name, f"{n:,} made-up examples", {"validation": data}, NOTE)


def _input(model: Model, place: int, n: int, kind: str) -> NDArray[np.generic]:
    """Return one input (n, ...): floats, tokens below the vocabulary, or ones where whole numbers look up nothing."""
    example, generator = model.example_inputs[place], np.random.default_rng([0, place])
    shape = (n, *example.shape[1:])
    if example.is_floating_point():
        values = generator.standard_normal(shape) if kind == "normal" else generator.random(shape)
        return values.astype(np.float32)
    known = vocabulary(model.graph, place)
    if known is None or example.dtype == torch.bool:
        return np.ones(shape, np.int64)  # as of a mask that hides nothing
    return generator.integers(0, known, shape)
