"""Numbers that are none: they would make every score and every accuracy arbitrary, without any error."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx as library
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors.numpy import save

import sample_models
from tests.hostile.case import LENET, Case, onnx

KIND = "NaN"
MODEL, INPUTS, TARGETS = "E244", "E307", "E309|E307"
Change = Callable[[NDArray[Any]], None]


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    found = []
    for name, change in _changes().items():
        as_numbers = lambda change=change: save(_weights(change))  # noqa: E731
        as_torch = lambda change=change: _saved(_weights(change))  # noqa: E731
        as_onnx = lambda change=change: _network(change)  # noqa: E731
        as_array = lambda change=change: _arrays(change)  # noqa: E731
        found += [
            Case(KIND, f"safetensors: {name}", "evil.safetensors", as_numbers, MODEL, LENET),
            Case(KIND, f"torch: {name}", "evil.pt", as_torch, MODEL, LENET),
            Case(KIND, f"ONNX: {name}", "evil.onnx", as_onnx, MODEL),
            Case(KIND, f"inputs: {name}", "evil.npz", as_array, INPUTS),
        ]
    targets = {"NaN": np.array([0.0, np.nan, 1.0]), "infinite": np.array([0.0, np.inf, 1.0])}
    for name, values in targets.items():
        make = lambda values=values: _saved_arrays(x=np.ones((3, 4), np.float32), y=values)  # noqa: E731
        found.append(Case(KIND, f"targets: {name}", "evil.npz", make, TARGETS))
    overflow = lambda: _network(lambda w: w.fill(3e38))  # noqa: E731
    found.append(Case(KIND, "ONNX: answers overflow", "evil.onnx", overflow, "E251|E231"))
    return found


def _changes() -> dict[str, Change]:
    def one(values: NDArray[Any]) -> None:
        values.flat[-1] = np.nan

    return {"one NaN": one, "infinite": lambda w: w.fill(np.inf), "all below": lambda w: w.fill(-np.inf)}


def _weights(change: Change) -> dict[str, NDArray[Any]]:
    state = {name: value.numpy().copy() for name, value in sample_models.load("lenet_300_100").state_dict().items()}
    change(next(value for value in state.values() if value.ndim == 2))
    return state


def _saved(state: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, buffer)
    return buffer.getvalue()


def _network(change: Change) -> bytes:
    weight = np.ones((3, 2), np.float32)
    change(weight)
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Gemm", ["h", "v"], ["y"])]
    tensors = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.full((2, 2), 2, np.float32), "v")]
    content = library.ModelProto.FromString(onnx(nodes, tensors))
    del content.graph.output[:]
    content.graph.output.append(helper.make_tensor_value_info("y", library.TensorProto.FLOAT, [1, 2]))
    return content.SerializeToString()


def _arrays(change: Change) -> bytes:
    values = np.ones((3, 4), np.float32)
    change(values)
    return _saved_arrays(x=values, y=np.arange(3))


def _saved_arrays(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
