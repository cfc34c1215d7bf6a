"""New tensors: constants of a shape, ranges, triangles."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.types import dtype_of
from pruning_core.onnx_import.values import Unsupported, Value, known, number, numbers

MOST_ELEMENTS = 2**27  # of a tensor that a constant makes: half a GB


MOST_VALUES = 2**31  # of any value, at the batch that is tried


def check_size(results: Sequence[Value], most: int) -> None:
    """Refuse what would fill the memory; the tensors may be shapes alone."""
    for result in results:
        if isinstance(result, Tensor) and result.numel() > most:
            raise Unsupported(f"it makes a tensor of {result.numel():,} elements; at most {most:,} are taken")


@operator("ConstantOfShape", known=(0,))
def constant_of_shape(node: Node, shape: Value) -> Tensor:
    """One number everywhere."""
    sizes, value = numbers(shape, "its shape"), node.get("value", known([0.0], torch.float32))
    return torch.full(sizes, number(value), dtype=value.dtype)


@operator("Range", known=(0, 1, 2))
def arrange(node: Node, start: Value, end: Value, step: Value) -> Tensor:
    """Numbers in equal steps."""
    first, last, by = (number(value, "its bound") for value in (start, end, step))
    return torch.arange(first, last, by, dtype=start.dtype)


@operator("EyeLike")
def eye_like(node: Node, x: Tensor) -> Tensor:
    """Ones on a diagonal."""
    dtype = dtype_of(node["dtype"]) if "dtype" in node else x.dtype
    rows, columns = (torch.arange(size) for size in x.shape)
    return torch.eq(columns - rows.reshape(-1, 1), node.get("k", 0)).to(dtype)


@operator("Trilu", known=(1,))
def triangle(node: Node, x: Tensor, diagonal: Value = None) -> Tensor:
    """What is above or below a diagonal."""
    k = int(number(diagonal, "its diagonal")) if diagonal is not None else 0
    return (torch.triu if node.get("upper", 1) else torch.tril)(x, k)


@operator("HannWindow", "HammingWindow", "BlackmanWindow", known=(0,))
def window(node: Node, size: Value) -> Tensor:
    """Windows of signal processing."""
    count, periodic = int(number(size)), bool(node.get("periodic", 1))
    dtype = dtype_of(node.get("output_datatype", 1))
    if node.operator == "HammingWindow":
        return torch.hamming_window(count, periodic, alpha=25 / 46, beta=21 / 46, dtype=torch.float64).to(dtype)
    function = torch.hann_window if node.operator == "HannWindow" else torch.blackman_window
    return function(count, periodic, dtype=torch.float64).to(dtype)


@operator("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
def random(node: Node, *values: Value) -> Tensor:
    """A model that draws random numbers has no one answer to keep."""
    raise Unsupported("it draws random numbers, so no two runs agree")
