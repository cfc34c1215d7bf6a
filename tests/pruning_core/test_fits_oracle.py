"""Whether data fit a model, against an oracle that looks at every number by itself."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from pruning_core.data import EvalData, check_fits
from pruning_core.errors import PruningError
from pruning_core.model import Model

N_CLASSES, SHAPE = 3, (2, 2)
MODEL = Model("flat", nn.Sequential(nn.Flatten(), nn.Linear(4, N_CLASSES)), (torch.zeros(2, *SHAPE),))
Array = NDArray[Any]

numbers = st.sampled_from([0.0, 1.0, -3.5, 255.0, 1e30, math.nan, math.inf, -math.inf])
labels = st.sampled_from([0, 1, 2, 0, 1, 2, 3, -1, -100, 99, 2**31 - 1])


@st.composite
def inputs(draw: st.DrawFn) -> Array:
    """Draw inputs, most of which fit."""
    shape = draw(st.sampled_from([SHAPE] * 6 + [(2,), (2, 3), (1, 2, 2), (4,), (), (0, 2)]))
    count = draw(st.sampled_from([1, 2, 3, 4, 0]))
    kind = draw(st.sampled_from(["float32"] * 4 + ["uint8", "int64", "float64", "float16", "complex64", "U2", "bool"]))
    values = np.zeros((count, *shape), kind)
    if values.size and values.dtype.kind == "f":
        value = draw(numbers)
        values.reshape(-1)[draw(st.integers(0, values.size - 1))] = (
            4.0 if kind == "float16" and value == 1e30 else value
        )
    return values if draw(st.integers(0, 15)) else np.asarray(values.reshape(-1)[0] if values.size else 0.0)


@st.composite
def targets(draw: st.DrawFn, count: int) -> Array | None:
    """Draw targets for so many examples, most of which fit."""
    kind = draw(st.sampled_from(["int64"] * 5 + ["int32", "uint8", "float32", "U1", "bool", "none"]))
    if kind == "none":
        return None
    count = max(0, count + draw(st.sampled_from([0] * 6 + [1, -1])))
    shape = draw(st.sampled_from([(count,)] * 6 + [(count, 1), (count, 2), (), (count, 1, 1), (count, N_CLASSES)]))
    values = [draw(labels) for _ in range(math.prod(shape))]
    if kind in ("uint8", "bool", "U1"):
        return np.array(values, "int64").astype("uint8" if kind == "uint8" else kind).reshape(shape)
    return np.array([float("nan") if kind == "float32" and v == -100 else v for v in values], kind).reshape(shape)


def fits(x: Array, y: Array | None) -> bool:
    """Return whether every number is what it has to be."""
    if x.ndim != 3 or len(x) == 0 or x.shape[1:] != SHAPE or x.dtype.kind not in "uifb":
        return False
    if any(not math.isfinite(float(value)) for value in x.ravel()):
        return False
    if y is None:
        return True
    if y.ndim == 0 or len(y) != len(x):
        return False
    if y.dtype.kind == "f":
        return all(math.isfinite(value) for value in y.ravel()) and y.size == len(y) * N_CLASSES
    return y.dtype.kind in "ui" and y.ndim == 1 and all(0 <= int(value) < N_CLASSES for value in y)


def is_let_on(x: Array, y: Array | None) -> bool:
    """Return whether the checks of the app let the same data on."""
    try:
        check_fits(EvalData("drawn", "all", x, y), MODEL.graph)
    except PruningError:
        return False
    return True


def compare(data: st.DataObject) -> None:
    """Draw once and compare."""
    x = data.draw(inputs())
    y = data.draw(targets(len(x) if x.ndim else 1))
    assert is_let_on(x, y) == fits(x, y), (x, y)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_checks_agree_with_the_oracle(data: st.DataObject) -> None:
    compare(data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=10_000, deadline=None)
def test_the_checks_agree_with_the_oracle_ten_thousand_times(data: st.DataObject) -> None:
    compare(data)
