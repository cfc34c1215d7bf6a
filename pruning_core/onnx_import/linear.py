"""Nodes that use a stored matrix, made into the layer that torch has for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from pruning_core.onnx_import.operators.indexing import EMBEDDING
from pruning_core.onnx_import.operators.products import LINEAR
from pruning_core.onnx_import.table import Node
from pruning_core.onnx_import.weights import Constants


@dataclass(frozen=True)
class Prepared:
    """A node in another form: inputs by name, and the weights that replace some of them."""

    node: Node
    inputs: tuple[str, ...]
    weights: Mapping[int, Tensor]  # input -> tensor as it is to be stored
    weight: str  # the constant that the layer is named after


def prepared(node: Node, inputs: tuple[str, ...], constants: Constants) -> Prepared | None:
    """Return a node with a stored matrix in torch's form, or None where it stays as it is."""
    of_rows = node.operator == "Gather" and node.get("axis", 0) == 0 and inputs[1] not in constants
    if of_rows and _matrix(constants, inputs[0]) is not None:
        return Prepared(replace(node, operator=EMBEDDING), inputs, {}, inputs[0])
    if node.operator == "MatMul" and (matrix := _matrix(constants, inputs[1])) is not None:
        return Prepared(_linear(node), inputs, {1: matrix.t()}, inputs[1])
    if node.operator == "Gemm" and (matrix := _matrix(constants, inputs[1])) is not None and not node.get("transA"):
        return _gemm(node, inputs, matrix if node.get("transB") else matrix.t(), constants)
    return None


def with_bias(linear: Prepared, bias: str, constants: Constants) -> Prepared | None:
    """Return a product with the bias that the next node adds; None where that is no vector of its outputs."""
    vector = constants[bias]
    if 2 in linear.weights or tuple(vector.shape) != (linear.weights[1].shape[0],):
        return None
    return replace(linear, inputs=(*linear.inputs[:2], bias), weights={**linear.weights, 2: vector})


def _matrix(constants: Constants, name: str) -> Tensor | None:
    tensor = constants.tensors.get(name)
    return tensor if tensor is not None and tensor.dim() == 2 and tensor.is_floating_point() else None


def _linear(node: Node) -> Node:
    return replace(node, operator=LINEAR, attributes={})


def _gemm(node: Node, inputs: tuple[str, ...], weight: Tensor, constants: Constants) -> Prepared | None:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    weights = {1: weight if alpha == 1 else (alpha * weight).to(weight.dtype)}
    if len(inputs) < 3 or not inputs[2]:
        return Prepared(_linear(node), inputs[:2], weights, inputs[1])
    if inputs[2] not in constants:
        return None
    added = constants[inputs[2]] if beta == 1 else (beta * constants[inputs[2]]).to(weight.dtype)
    if added.numel() == 1:
        added = added.reshape(1).expand(len(weight))
    if added.numel() != len(weight) or (added.dim() > 1 and added.shape[-1] == 1 and len(weight) > 1):
        return None
    return Prepared(_linear(node), inputs, {**weights, 2: added.reshape(-1)}, inputs[1])
