"""ONNX models by hand: one operator or a few, weights as initialisers or Constant nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from pruning_core.onnx_export import session
from pruning_core.onnx_import import import_model

OPSET = 21


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = OPSET,
    as_nodes: bool = False,
) -> onnx.ModelProto:
    """Return a model; `inputs` are shapes (of float32) or arrays like those that are given."""
    entries = [_entry(name, value) for name, value in inputs.items()]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    made = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in stored] if as_nodes else []
    graph = helper.make_graph(
        [*made, *nodes],
        "graph",
        entries,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [] if as_nodes else stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 21 else 10)


def _entry(name: str, value: Any) -> onnx.ValueInfoProto:
    if isinstance(value, np.ndarray):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, value)


def one(
    operator: str,
    inputs: Sequence[Any],
    *,
    outputs: int = 1,
    known: Sequence[int] = (),
    opset: int = OPSET,
    domain: str = "",
    **attributes: Any,
) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    """Return a model of one operator and what it is given; inputs at `known` places are constants, None is left out."""
    names = ["" if value is None else f"input_{i}" for i, value in enumerate(inputs)]
    results = [f"output_{i}" for i in range(outputs)]
    node = helper.make_node(operator, names, results, domain=domain, **attributes)
    constants = {names[i]: inputs[i] for i in known}
    given = {name: value for i, (name, value) in enumerate(zip(names, inputs, strict=True)) if name and i not in known}
    model = model_of([node], given, results, constants, opset=opset)
    for output in model.graph.output:
        output.type.Clear()
    return onnx.shape_inference.infer_shapes(model), list(given.values())


def agrees(model: onnx.ModelProto, arrays: Sequence[np.ndarray], tolerance: float = 1e-5) -> None:
    """Assert that the imported model gives what ONNX Runtime gives."""
    running = session(model.SerializeToString())
    named = {entry.name: value for entry, value in zip(running.get_inputs(), arrays, strict=True)}
    given = [torch.from_numpy(value) for value in arrays]
    outputs = list(model.graph.output)
    for output in outputs:  # one by one: of several only the real numbers would be kept
        del model.graph.output[:]
        model.graph.output.append(output)
        (wanted,) = running.run([output.name], named)
        with torch.inference_mode():
            found = import_model(model, given).module(*given)
        assert str(found.dtype).removeprefix("torch.") == str(wanted.dtype)
        np.testing.assert_allclose(found.numpy(), wanted, tolerance, tolerance)
