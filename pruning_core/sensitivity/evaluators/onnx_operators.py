"""How the operators of a traced model are written in ONNX. What is missing here runs in torch."""

import math
from typing import Any

import numpy as np
from torch import Tensor, fx

from pruning_core.sensitivity.evaluators.onnx_builder import Builder, Result, rank, translates
from pruning_core.sensitivity.evaluators.seam import CannotRun

Given = dict[str, Any]


def _wide(values: Any, n: int) -> list[int]:
    """Return `n` numbers; torch lets one stand for all."""
    listed = [int(v) for v in values] if isinstance(values, (list, tuple)) else [int(values)]
    return listed * n if len(listed) == 1 else listed


@translates(*(f"aten.conv{d}d.{version}" for d in (1, 2, 3) for version in ("default", "padding")))
def _conv(b: Builder, node: fx.Node, a: Given) -> Result:
    n = rank(a["input"]) - 2
    inputs = [b.value(a["input"]), b.value(a["weight"]), *([b.value(a["bias"])] if a["bias"] else [])]
    padding = {"auto_pad": "SAME_UPPER"} if a["padding"] == "same" else {"pads": _pads(a["padding"], n)}
    if "auto_pad" in padding and set(_wide(a["stride"], n)) != {1}:
        raise CannotRun("a convolution with padding 'same' has a stride")
    return b.op(
        "Conv", *inputs, strides=_wide(a["stride"], n), dilations=_wide(a["dilation"], n), group=a["groups"], **padding
    )


def _pads(padding: Any, n: int) -> list[int]:
    return [0] * 2 * n if padding == "valid" else _wide(padding, n) * 2


@translates("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def _conv_transpose(b: Builder, node: fx.Node, a: Given) -> Result:
    n = rank(a["input"]) - 2
    inputs = [b.value(a["input"]), b.value(a["weight"]), *([b.value(a["bias"])] if a["bias"] else [])]
    return b.op(
        "ConvTranspose",
        *inputs,
        strides=_wide(a["stride"], n),
        pads=_pads(a["padding"], n),
        output_padding=_wide(a["output_padding"], n),
        dilations=_wide(a["dilation"], n),
        group=a["groups"],
    )


def _turned(b: Builder, node: fx.Node) -> str:
    """Return the name of a matrix (out, in) as (in, out)."""
    constant = b.constant(node)
    return b.array(constant.t().contiguous().numpy()) if constant is not None else b.op("Transpose", b.value(node))


def _plus(b: Builder, value: str, bias: Any) -> str:
    return b.op("Add", value, b.value(bias)) if bias is not None else value


@translates("aten.linear.default")
def _linear(b: Builder, node: fx.Node, a: Given) -> Result:
    if rank(a["input"]) == 2:
        inputs = [b.value(a["input"]), b.value(a["weight"]), *([b.value(a["bias"])] if a["bias"] else [])]
        return b.op("Gemm", *inputs, transB=1)
    return _plus(b, b.op("MatMul", b.value(a["input"]), _turned(b, a["weight"])), a["bias"])


@translates("aten.addmm.default")
def _addmm(b: Builder, node: fx.Node, a: Given) -> Result:
    inputs = (b.value(a["mat1"]), b.value(a["mat2"]), b.value(a["self"]))
    return b.op("Gemm", *inputs, alpha=float(a["alpha"]), beta=float(a["beta"]))


@translates("aten.mm.default", "aten.bmm.default", "aten.matmul.default")
def _matmul(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("MatMul", b.value(a["self"]), b.value(a.get("mat2", a.get("other"))))


@translates("aten.embedding.default")
def _embedding(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Gather", b.value(a["weight"]), b.value(a["indices"]), axis=0)


@translates("aten.scaled_dot_product_attention.default")
def _attention(b: Builder, node: fx.Node, a: Given) -> Result:
    if a["attn_mask"] is not None or a["dropout_p"] or a["is_causal"] or a["enable_gqa"]:
        raise CannotRun("attention with a mask is not written in ONNX")
    n, width = rank(a["key"]), int(a["query"].meta["val"].shape[-1])
    scale = 1 / math.sqrt(width) if a["scale"] is None else float(a["scale"])
    keys = b.op("Transpose", b.value(a["key"]), perm=[*range(n - 2), n - 1, n - 2])
    scores = b.op("MatMul", b.op("Mul", b.value(a["query"]), b.number(scale)), keys)
    return b.op("MatMul", b.op("Softmax", scores, axis=-1), b.value(a["value"]))


_SIMPLE = {
    **{name: name.title() for name in "relu sigmoid tanh exp log sqrt abs neg erf floor ceil sin cos".split()},
    "softsign": "Softsign", "mish": "Mish", "hardswish": "HardSwish", "reciprocal": "Reciprocal",
}  # fmt: skip


@translates(*(f"aten.{name}.default" for name in _SIMPLE))
def _simple(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op(_SIMPLE[str(node.target).split(".")[1]], b.value(a["self"]))


@translates("aten.gelu.default")
def _gelu(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Gelu", b.value(a["self"]), approximate=a["approximate"])


@translates("aten.silu.default")
def _silu(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Mul", b.value(a["self"]), b.op("Sigmoid", b.value(a["self"])))


@translates("aten.hardsigmoid.default")
def _hard_sigmoid(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("HardSigmoid", b.value(a["self"]), alpha=1 / 6, beta=0.5)


@translates("aten.leaky_relu.default")
def _leaky_relu(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("LeakyRelu", b.value(a["self"]), alpha=float(a["negative_slope"]))


@translates("aten.hardtanh.default")
def _hardtanh(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Clip", b.value(a["self"]), b.number(a["min_val"]), b.number(a["max_val"]))


@translates("aten.clamp.default", "aten.clamp_min.default")
def _clamp(b: Builder, node: fx.Node, a: Given) -> Result:
    low, high = a["min"], a.get("max")
    ends = ["" if low is None else b.number(low), *([] if high is None else [b.number(high)])]
    return b.op("Clip", b.value(a["self"]), *ends)


_ARITHMETIC = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min", "pow": "Pow"}


@translates(
    *(f"aten.{name}.{kind}" for name in ("add", "sub", "mul", "div") for kind in ("Tensor", "Scalar")),
    "aten.maximum.default", "aten.minimum.default", "aten.pow.Tensor_Scalar",
)  # fmt: skip
def _arithmetic(b: Builder, node: fx.Node, a: Given) -> Result:
    other = a.get("other", a.get("exponent"))
    second = b.value(other) if isinstance(other, fx.Node) and _rank_or_none(other) is not None else _scalar(b, other)
    if a.get("alpha", 1) != 1:
        second = b.op("Mul", second, b.number(a["alpha"]))
    return b.op(_ARITHMETIC[str(node.target).split(".")[1]], b.value(a["self"]), second)


def _rank_or_none(node: fx.Node) -> int | None:
    """Return how many dimensions a node's tensor has, if it is one."""
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else None


def _scalar(b: Builder, value: Any) -> str:
    if isinstance(value, fx.Node):
        return b.op("Cast", b.value(value), to=1)  # a size (1,)
    return b.number(float(value))


@translates("aten.max_pool2d.default", "aten.max_pool1d.default")
def _max_pool(b: Builder, node: fx.Node, a: Given) -> Result:
    n = rank(a["self"]) - 2
    return b.op("MaxPool", b.value(a["self"]), **_window(a, n), dilations=_wide(a["dilation"], n))


@translates("aten.avg_pool2d.default", "aten.avg_pool1d.default")
def _avg_pool(b: Builder, node: fx.Node, a: Given) -> Result:
    if a.get("divisor_override") or a["ceil_mode"]:
        raise CannotRun("an average pooling with ceil_mode or a divisor of its own is not written in ONNX")
    counts = int(a["count_include_pad"])
    return b.op("AveragePool", b.value(a["self"]), **_window(a, rank(a["self"]) - 2), count_include_pad=counts)


def _window(a: Given, n: int) -> Given:
    return {
        "kernel_shape": _wide(a["kernel_size"], n),
        "strides": _wide(a["stride"] or a["kernel_size"], n),
        "pads": _wide(a["padding"], n) * 2,
        "ceil_mode": int(a["ceil_mode"]),
    }


@translates("aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool1d.default")
def _adaptive_avg_pool(b: Builder, node: fx.Node, a: Given) -> Result:
    if set(a["output_size"]) != {1}:
        raise CannotRun("an adaptive pooling to more than one place is not written in ONNX")
    return b.op("GlobalAveragePool", b.value(a["self"]))


_REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}


@translates("aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.amin.default")
def _reduce(b: Builder, node: fx.Node, a: Given) -> Result:
    dims = a["dim"] if a["dim"] else list(range(rank(a["self"])))
    kind = _REDUCTIONS[str(node.target).split(".")[1]]
    return b.op(kind, b.value(a["self"]), b.ints(_wide(dims, 1)), keepdims=int(a["keepdim"]))


@translates("aten.softmax.int", "aten._softmax.default")
def _softmax(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Softmax", b.value(a["self"]), axis=a["dim"])


@translates("aten.layer_norm.default")
def _layer_norm(b: Builder, node: fx.Node, a: Given) -> Result:
    shape = a["normalized_shape"]
    weight = b.value(a["weight"]) if a["weight"] else b.array(np.ones(shape, np.float32))
    inputs = [b.value(a["input"]), weight, *([b.value(a["bias"])] if a["bias"] else [])]
    return b.op("LayerNormalization", *inputs, axis=-len(shape), epsilon=float(a["eps"]))


@translates("aten._native_batch_norm_legit_no_training.default")
def _batch_norm(b: Builder, node: fx.Node, a: Given) -> Result:
    constant = b.constant(a["running_mean"])
    if constant is None:
        raise CannotRun("a batch norm with computed statistics is not written in ONNX")
    ones, zeros = np.ones(len(constant), np.float32), np.zeros(len(constant), np.float32)
    scale = b.value(a["weight"]) if a["weight"] else b.array(ones)
    shift = b.value(a["bias"]) if a["bias"] else b.array(zeros)
    statistics = (b.value(a["running_mean"]), b.value(a["running_var"]))
    return (b.op("BatchNormalization", b.value(a["input"]), scale, shift, *statistics, epsilon=float(a["eps"])),)
