"""Matrix products."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported

LINEAR = (
    "Linear"  # of our own: a product with a stored matrix (out, in), made of Gemm or MatMul, and Add, by weights.py
)


@operator(LINEAR, weights={1: "weight", 2: "bias"})
def linear(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x times a stored matrix (out, in), plus a bias (out,)."""
    return F.linear(x, weight, bias)


@operator("MatMul", weights={1: "weight"})
def matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """As numpy multiplies stacks of matrices."""
    if not a.is_floating_point() and not a.is_complex():
        return torch.matmul(a.to(torch.int64), b.to(torch.int64)).to(a.dtype)
    return torch.matmul(a, b)


@operator("Gemm", weights={1: "weight", 2: "bias"})
def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """alpha a b + beta c, a and b turned where it says so."""
    a = a.t() if node.get("transA") else a
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if alpha == 1:
        result = F.linear(a, b) if node.get("transB") else a @ b
    else:
        result = alpha * (a @ (b.t() if node.get("transB") else b))
    result = result.to(a.dtype)
    return result if c is None else result + (c if beta == 1 else (beta * c).to(a.dtype))


@operator("Einsum", weights={1: "weight"})
def einsum(node: Node, *operands: Tensor) -> Tensor:
    """Sums of products by letters; without an arrow the letters that stand once remain, in their order."""
    result: Tensor = torch.einsum(node["equation"].replace(" ", ""), *operands)
    return result


@operator("Det")
def determinant(node: Node, x: Tensor) -> Tensor:
    """Of square matrices."""
    return torch.det(x)


@operator("DFT", known=(1, 2))
def fourier(node: Node, x: Tensor, length: Any = None, axis: Any = None) -> Any:
    """The discrete Fourier transform works on complex numbers, which nothing here prunes."""
    raise Unsupported("complex numbers are not supported")
