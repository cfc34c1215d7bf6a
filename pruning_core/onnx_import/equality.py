"""Whether the imported module answers as ONNX Runtime does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.onnx_export import session
from pruning_core.onnx_import.inputs import Entry
from pruning_core.onnx_import.types import DTYPES
from pruning_core.onnx_import.values import first_line
from pruning_core.refusals import refused

Array = NDArray[Any]
BATCHES = (2, 1, 3)
ROUNDING = {
    torch.float32: 1e-4,
    torch.float64: 1e-8,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}  # of the largest output
QUANTISED = 0.05  # of the largest output, where activations are rounded to steps and a tie may fall either way


def largest_difference(
    proto: onnx.ModelProto, module: nn.Module, entries: Sequence[Entry], fixed: int | None, doubtful: Sequence[str] = ()
) -> tuple[float, float]:
    """Return the largest difference from ONNX Runtime on generated inputs, and the largest output; else refuse."""
    try:
        running = session(proto.SerializeToString())
    except Exception as error:  # of every kind that ONNX Runtime has
        raise refused("E232", f"ONNX Runtime cannot run the model: {first_line(error)}") from None
    largest = scale = 0.0
    for seed, count in enumerate(BATCHES):
        inputs = [entry.example(count * (fixed or 1), seed) for entry in entries]
        with torch.inference_mode():
            found = module(*inputs)
        outputs = list(found) if isinstance(found, tuple) else [found]
        wanted = _answers(running, entries, inputs, fixed)
        for name, one, other in zip((entry.name for entry in running.get_outputs()), outputs, wanted, strict=True):
            apart, size = _apart(name, one, other)
            largest, scale = max(largest, apart), max(scale, size)
    if not largest <= _tolerance(proto, entries) * scale:
        guessed = f" (the batch is fixed in the file, and its place guessed in {', '.join(doubtful[:3])})"
        raise refused(
            "E231",
            f"the imported model does not answer as ONNX Runtime does: the largest difference is {largest:.3g}, "
            f"of outputs up to {scale:.3g}{guessed if doubtful else ''}",
        )
    return largest, scale


def _answers(running: Any, entries: Sequence[Entry], inputs: Sequence[Tensor], fixed: int | None) -> list[Array]:
    step = fixed or len(inputs[0])
    parts = []
    for start in range(0, len(inputs[0]), step):
        given = {
            entry.name: value[start : start + step].to(entry.dtype).numpy()
            for entry, value in zip(entries, inputs, strict=True)
        }
        try:
            parts.append(running.run(None, given))
        except Exception as error:  # of every kind that ONNX Runtime has
            raise refused(
                "E232", f"ONNX Runtime cannot run the model on {step} generated examples: {first_line(error)}"
            ) from None
    return [np.concatenate(part) if np.ndim(part[0]) else part[0] for part in zip(*parts, strict=True)]


def _apart(name: str, found: Tensor, wanted: Array) -> tuple[float, float]:
    """Return the largest difference and the largest value; equal infinities and NaN are equal."""
    if tuple(found.shape) != wanted.shape:
        raise refused(
            "E231", f"the output '{name}' has the shape {tuple(found.shape)}, in ONNX Runtime {tuple(wanted.shape)}"
        )
    one, other = found.double().numpy(), wanted.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
    finite = np.abs(other[np.isfinite(other)])
    return float(apart.max(initial=0.0)), float(finite.max(initial=0.0))


def _tolerance(proto: onnx.ModelProto, entries: Sequence[Entry]) -> float:
    steps = any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv") for node in proto.graph.node)
    types = {entry.dtype for entry in entries} | {DTYPES.get(tensor.data_type) for tensor in proto.graph.initializer}
    return max([QUANTISED * steps, *(ROUNDING.get(dtype, 0.0) for dtype in types if dtype is not None), 1e-6])
