"""Arithmetic, element by element with broadcasting."""

import operator as python
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.types import dtype_of
from pruning_core.onnx_import.values import Value, operand, tensor

ONE_OPERAND: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Identity": lambda x: x,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "BitwiseNot": torch.bitwise_not,
}
TWO_OPERANDS: dict[str, Callable[[Any, Any], Tensor]] = {
    "Add": python.add,
    "Sub": python.sub,
    "Mul": python.mul,
    "Equal": python.eq,
    "Greater": python.gt,
    "Less": python.lt,
    "GreaterOrEqual": python.ge,
    "LessOrEqual": python.le,
    "BitwiseAnd": python.and_,
    "BitwiseOr": python.or_,
    "BitwiseXor": python.xor,
}
LOGIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # torch has them, but hardly computes with them


@operator(*ONE_OPERAND)
def one_operand(node: Node, x: Value) -> Value:
    """Every function of one operand that torch has under another name."""
    return x if node.operator == "Identity" else ONE_OPERAND[node.operator](tensor(x))


@operator(*TWO_OPERANDS, scalars=True)
def two_operands(node: Node, a: Value, b: Value) -> Tensor:
    """Every function of two operands that torch has under another name; before opset 7 `axis` says where b stands."""
    left, right = pair(a, aligned(node, a, b))
    dtype = type_of(left, right)
    if dtype in _UNSIGNED:
        wide = TWO_OPERANDS[node.operator](_wide(left), _wide(right))
        return wide if wide.dtype == torch.bool else wide.to(dtype)
    return TWO_OPERANDS[node.operator](left, right)


@operator(*LOGIC)
def logic(node: Node, a: Value, b: Value) -> Tensor:
    """And, or, exclusive or."""
    return LOGIC[node.operator](tensor(a), tensor(b))


def pair(a: Value, b: Value) -> tuple[Any, Any]:
    """Return two operands as Python's arithmetic takes them; at most one is a number, the other is a tensor."""
    return operand(a, b), operand(b, a)


def aligned(node: Node, a: Value, b: Value) -> Value:
    """Return b with dimensions appended, where an old opset says at which axis of a it starts."""
    if node.opset >= 7 or not node.get("broadcast") or "axis" not in node or not isinstance(b, Tensor):
        return b
    return b.reshape(*b.shape, *[1] * (a.dim() - node["axis"] - b.dim()))


def _wide(value: Any) -> Any:
    return value.to(torch.int64) if isinstance(value, Tensor) else value


def type_of(left: Any, right: Any) -> torch.dtype:
    """Return the type of a pair of operands."""
    dtype: torch.dtype = (left if isinstance(left, Tensor) else right).dtype
    return dtype


@operator("Div", scalars=True)
def div(node: Node, a: Value, b: Value) -> Tensor:
    """Whole numbers are cut towards zero."""
    left, right = pair(a, aligned(node, a, b))
    dtype = type_of(left, right)
    if dtype.is_floating_point or dtype.is_complex:
        result: Tensor = left / right
        return result
    return torch.div(_wide(tensor_like(left, right)), _wide(right), rounding_mode="trunc").to(dtype)


def tensor_like(value: Any, other: Any) -> Tensor:
    """Return a number as a tensor of the other operand's type."""
    return value if isinstance(value, Tensor) else torch.full((), value, dtype=other.dtype)


@operator("Mod", scalars=True)
def mod(node: Node, a: Value, b: Value) -> Tensor:
    """The sign is the divisor's, or with `fmod` the dividend's."""
    left, right = pair(a, b)
    dtype, function = type_of(left, right), torch.fmod if node.get("fmod") else torch.remainder
    left = tensor_like(left, right)
    return function(_wide(left), _wide(right)).to(dtype) if dtype in _UNSIGNED else function(left, right)


@operator("Pow", scalars=True)
def power(node: Node, a: Value, b: Value) -> Tensor:
    """The result has the type of the base."""
    base, exponent = operand(a, b), operand(b, a)
    base = tensor(a) if not isinstance(base, Tensor) else base
    whole = isinstance(exponent, int) or (isinstance(exponent, Tensor) and not exponent.is_floating_point())
    if base.is_floating_point() or whole:
        return torch.pow(base, exponent).to(base.dtype)
    return torch.pow(base.double(), exponent).to(base.dtype)


@operator("Max", "Min")
def extremes(node: Node, *values: Value) -> Tensor:
    """Of any number of operands."""
    result, *others = (tensor(value) for value in values)
    small = result.dtype in _UNSIGNED
    for other in others:
        a, b = (_wide(result), _wide(other)) if small else (result, other)
        result = (torch.maximum if node.operator == "Max" else torch.minimum)(a, b).to(result.dtype)
    return result


@operator("Sum", "Mean")
def total(node: Node, *values: Value) -> Tensor:
    """Of any number of operands."""
    result, *others = (tensor(value) for value in values)
    for other in others:
        result = result + other
    return result / len(values) if node.operator == "Mean" else result


@operator("Where", scalars=True)
def where(node: Node, condition: Value, a: Value, b: Value) -> Tensor:
    """The first where the condition holds, else the second."""
    return torch.where(tensor(condition), tensor(a), tensor(b))


@operator("Cast", scalars=True)
def cast(node: Node, x: Value) -> Tensor:
    """To another type of number."""
    return tensor(x).to(dtype_of(node["to"]))


@operator("BitCast")
def bit_cast(node: Node, x: Tensor) -> Tensor:
    """The same bits as another type of number."""
    return x.view(dtype_of(node["to"]))


@operator("CastLike")
def cast_like(node: Node, x: Tensor, like: Tensor) -> Tensor:
    """To the type of another value."""
    return x.to(like.dtype)


@operator("IsInf")
def is_infinite(node: Node, x: Tensor) -> Tensor:
    """Of either sign, or of one."""
    positive, negative = node.get("detect_positive", 1), node.get("detect_negative", 1)
    if positive and negative:
        return torch.isinf(x)
    return torch.isposinf(x) if positive else torch.isneginf(x) if negative else torch.zeros_like(x, dtype=torch.bool)


@operator("BitShift")
def bit_shift(node: Node, x: Tensor, amount: Value) -> Tensor:
    """Of unsigned numbers."""
    shift = torch.bitwise_left_shift if node["direction"] == "LEFT" else torch.bitwise_right_shift
    return shift(x.to(torch.int64), tensor(amount).to(torch.int64)).to(x.dtype)
