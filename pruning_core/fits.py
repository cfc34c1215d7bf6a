"""Refusals by name: arrays that are no examples, and data that do not fit a model."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.errors import DataError
from pruning_core.graph import ModelGraph
from pruning_core.positions import NO_TARGET, are_scores
from pruning_core.preprocessing import Preprocessing
from pruning_core.refusals import told
from pruning_core.vocabulary import vocabulary

if TYPE_CHECKING:
    from pruning_core.data import EvalData

Array = NDArray[Any]
AT_ONCE = 1 << 24  # numbers that are looked at together, so that large files stay on the disk


def check_examples(inputs: Array, targets: Array | None) -> None:
    """Refuse by name: no examples, NaN, targets of another length, shape or kind."""
    check_inputs(inputs)
    if targets is None:
        return
    if targets.dtype.kind == "f" and targets.ndim >= 1:
        _check_numbers(inputs, targets)
        return
    by_position = targets.ndim == 2 and targets.shape[1] > 1 and targets.dtype.kind in "ui"
    if targets.ndim != 1 and not by_position:
        raise told("E308", _shape_needed(targets, (len(inputs),)))
    if len(targets) != len(inputs):
        raise told("E308", f"{len(inputs)} inputs but {len(targets)} targets")
    if targets.dtype.kind not in "ui":
        raise told("E309", f"targets are {targets.dtype}; whole class numbers are needed, or floats to predict")
    if by_position and len(empty := np.flatnonzero((targets == NO_TARGET).all(1))):
        raise told("E308", f"example {empty[0]} has no target at any position; leave it out")


def check_inputs(inputs: Array) -> None:
    """Refuse inputs (N, ...) without examples, or of other things than finite numbers."""
    if inputs.ndim < 1 or len(inputs) == 0:
        raise told("E306", "the data has no examples")
    if inputs.size == 0:
        raise told("E306", f"the examples have shape {inputs.shape[1:]}, so there is nothing in them")
    if inputs.dtype.kind not in "uifb":
        raise told("E305", f"the inputs are {inputs.dtype}; numbers are needed")
    if inputs.dtype.kind == "f" and not all(np.isfinite(part).all() for part in parts(inputs)):
        raise told("E307", "the inputs hold NaN or infinite values; finite numbers are needed")


def parts(array: Array) -> list[Array]:
    """Return views of an array, each small enough to be looked at in memory."""
    rows = max(1, AT_ONCE // max(1, prod(array.shape[1:])))
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def _check_numbers(inputs: Array, targets: Array) -> None:
    if len(targets) != len(inputs):
        raise told("E308", f"{len(inputs)} inputs but {len(targets)} targets")
    if len(wrong := np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(1))):
        raise told("E309", f"target of example {wrong[0]} is NaN or infinite; finite numbers are needed")


def _shape_needed(targets: Array, wanted: tuple[int, ...]) -> str:
    each = "each" if len(wanted) == 1 else "for each position"
    return f"targets have shape {targets.shape}; one class number {each} is needed, {wanted}"


def check_fits(data: EvalData, graph: ModelGraph) -> None:
    """Refuse data whose examples or targets do not fit a model."""
    n_inputs = len(graph.input_shapes)
    if len(data.arrays) != n_inputs:
        raise told(
            "E311",
            f"the model takes {n_inputs} inputs, but data '{data.name}' gives {len(data.arrays)}; save them as x0, x1 "
            "and so on in one .npz file",
        )
    for place in range(n_inputs):
        _check_input(data, graph, place)
    if data.targets is None:
        return
    if data.is_regression:
        _check_predicted(data, graph.output_shape)
    else:
        _check_classes(data, graph.output_shape)


def _check_predicted(data: EvalData, output_shape: tuple[int, ...]) -> None:
    found = data.targets.shape[1:] if data.targets is not None else ()
    if prod(found) != prod(output_shape):
        raise told(
            "E309",
            f"data '{data.name}' has {prod(found)} numbers to predict for each example, but the model gives "
            f"{prod(output_shape)} numbers; give as many to predict, or whole class numbers",
        )


def _check_classes(data: EvalData, output_shape: tuple[int, ...]) -> None:
    targets = np.asarray(data.targets)
    if prod(output_shape) == 1:
        raise DataError(
            "the model gives one number for each example; class scores (batch, classes) are needed, or targets that "
            "are floats, to be predicted"
        )
    if not are_scores(output_shape):
        raise DataError(
            f"the model gives {output_shape} for each example; class scores (batch, classes) are needed, or "
            "(batch, positions, classes)"
        )
    *positions, n_classes = output_shape
    if targets.shape[1:] != tuple(positions):
        raise told("E308", _shape_needed(targets, (len(data), *positions)))
    wrong = (targets < 0) | (targets >= n_classes)
    places = np.argwhere(wrong & (targets != NO_TARGET) if positions else wrong)
    if len(places):
        where = tuple(places[0].tolist())
        raise told(
            "E310", f"data '{data.name}': target {targets[where]} of example {where[0]} is outside 0 to {n_classes - 1}"
        )


def _check_input(data: EvalData, graph: ModelGraph, place: int) -> None:
    array, shape, wanted = data.arrays[place], graph.input_shapes[place], graph.input_types[place]
    which = "" if len(data.arrays) == 1 else f" as input {place}"
    if data.shapes[place] != shape:
        raise told(
            "E311", f"data '{data.name}' has examples of shape {data.shapes[place]}{which}; the model takes {shape}"
        )
    _check_type(data, place, wanted, which)
    n_tokens = vocabulary(graph, place)
    if n_tokens is not None and data.preprocessing == Preprocessing():
        least, largest = array.min(), array.max()
        if least < 0 or largest >= n_tokens:
            wrong = least if least < 0 else largest
            raise told("E312", f"data '{data.name}': token {wrong:g}{which} is outside 0 to {n_tokens - 1}")


def _check_type(data: EvalData, place: int, wanted: torch.dtype, which: str) -> None:
    """Refuse an input that is read as another type than the model wants."""
    if (read := data.read_as[place]) == wanted:
        return
    name, kind = str(wanted).removeprefix("torch."), data.arrays[place].dtype
    if wanted == torch.int64:
        remedy = f"these are {kind}"
        if kind.kind in "ui":
            remedy = "load them with the model, load_data(name, model=model)" if place else "say so with tokens=True"
        raise DataError(f"data '{data.name}': the model reads tokens{which}, which are whole numbers; {remedy}")
    if wanted == torch.float32 and not read.is_floating_point:
        raise DataError(f"data '{data.name}' holds tokens{which}, but the model reads float32; leave tokens=True out")
    raise DataError(
        f"the model reads {name}{which}; data are prepared as float32, or as int64 where they are tokens, unless they "
        "are loaded with the model, load_data(name, model=model)"
    )
