"""The onnx package's own tests of operators: what is given to one operator, and what has to come out."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from pruning_core.errors import PruningError
from pruning_core.onnx_import import Imported, import_model

ROUNDING = {"float16": 5e-3, "bfloat16": 2e-2}  # relative; other types as the test says, at least 1e-3
COMPUTED = ("computed from the values", "depends on the values", "ml_dtypes")


def cases() -> list[Any]:
    """Return all tests of single operators that the onnx package makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divisions by zero that some tests are about
        import onnx.backend.test.case.node as nodes

        return list(nodes.collect_testcases(None))


def is_of_numbers(case: Any) -> bool:
    """Whether a test is about tensors of numbers, not about text, lists, training or types narrower than a byte."""
    arrays = [value for inputs, outputs in case.data_sets for value in (*inputs, *outputs)]
    elements = [_array(value).dtype for value in arrays if not isinstance(value, list) and value is not None]
    plain = len(elements) == len(arrays) and all(one.kind in "fiub" or one.name == "bfloat16" for one in elements)
    domains = {node.domain for node in case.model.graph.node}
    return plain and "ai.onnx.preview.training" not in domains and bool(case.model.opset_import)


def passes(case: Any) -> str:
    """Return nothing where the imported operator gives what it should, else why not."""
    try:
        for inputs, outputs in case.data_sets:
            _check(case, [_array(value) for value in inputs], [_array(value) for value in outputs])
    except (PruningError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        return str(error).strip().split("\n")[0][:200] or type(error).__name__
    return ""


def _check(case: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    imported, given = _imported(case.model, inputs)
    with torch.no_grad():
        found = imported.module(*given)
    results = list(found) if isinstance(found, tuple) else [found]
    wanted = dict(zip((output.name for output in case.model.graph.output), outputs, strict=True))
    for output, result in zip(imported.proto.graph.output, results, strict=True):
        expected = wanted[output.name]
        assert tuple(result.shape) == expected.shape, f"shape {tuple(result.shape)}, not {expected.shape}"
        tolerance = max(case.rtol, ROUNDING.get(expected.dtype.name, 1e-3))
        np.testing.assert_allclose(
            result.detach().double().numpy(), expected.astype(np.float64), tolerance, max(case.atol, 1e-5)
        )


def _imported(model: onnx.ModelProto, inputs: Sequence[Any]) -> tuple[Imported, list[Tensor]]:
    """Import a model; sizes and the like, which the tests give as inputs, are constants as in files of exporters."""
    names = [entry.name for entry in model.graph.input]
    for constant in ([], range(1, len(inputs)), range(len(inputs))):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for i in constant:
            changed.graph.initializer.append(numpy_helper.from_array(inputs[i], names[i]))
        try:
            given = [_tensor(value) for i, value in enumerate(inputs) if i not in constant]
            return import_model(changed, given), given or [torch.zeros(1)]
        except (PruningError, TypeError) as error:
            refusal = error
            if not any(text in str(error) for text in COMPUTED):
                break
    raise refusal


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _tensor(array: Any) -> Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    return torch.from_numpy(np.array(array))
