"""Every operator gives what ONNX Runtime gives, in the opsets in which its definition changed."""

from typing import Any

import numpy as np
import pytest

from tests.pruning_core.onnx_import.graphs import agrees, one

RANDOM = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    """Return normal noise."""
    return RANDOM.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    """Return a list of sizes, axes or places."""
    return np.array(numbers, np.int64)


X = real(2, 4, 7, 6)
V = real(2, 4, 9)
POSITIVE = np.abs(real(2, 3, 4)) + 0.1
BYTES = RANDOM.integers(0, 255, (2, 3, 4)).astype(np.uint8)


def case(operator: str, *inputs: Any, **options: Any) -> Any:
    """Name a case by its operator and what is special about it."""
    special = "-".join(f"{key}={value}" for key, value in options.items() if key not in ("known", "outputs"))
    return pytest.param(operator, inputs, options, id=f"{operator}-{special}" if special else operator)


UNARY = """Abs Acos Asin Atan Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal Round Sign Sin Sinh Sqrt Tan Tanh Sigmoid
Relu Softsign Softplus Identity Elu Selu Celu LeakyRelu HardSigmoid HardSwish ThresholdedRelu Mish Gelu Softmax
LogSoftmax Hardmax IsNaN IsInf Asinh Atanh Shrink""".split()
BINARY = "Add Sub Mul Div Pow Equal Greater Less GreaterOrEqual LessOrEqual PRelu Max Min Sum Mean".split()
REDUCTIONS = """ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceSumSquare""".split()
CASES = [
    *(case(name, np.abs(real(2, 3, 4)).clip(0.1, 0.9)) for name in UNARY),
    *(case(name, POSITIVE, np.abs(real(3, 1)) + 0.5) for name in BINARY),
    *(case(name, POSITIVE, whole(-1, 1), known=(1,), keepdims=0) for name in REDUCTIONS),
    *(case(name, POSITIVE, axes=[0, 2], opset=12) for name in REDUCTIONS),
    case("Softmax", X, axis=1, opset=11),
    case("Softmax", X, axis=2, opset=12),
    case("Div", np.array([-7, 7], np.int64), np.array([2, -2], np.int64)),
    case("Mod", np.array([-7, 7], np.int64), np.array([2, -3], np.int64)),
    case("Mod", real(5), real(5), fmod=1),
    case("Clip", X, np.float32(-0.5), np.float32(0.5), known=(1, 2)),
    case("Clip", X, None, np.float32(0.5), known=(2,)),
    case("Clip", X, min=-0.1, max=0.2, opset=7),
    case("Where", X > 0, X, real(1)),
    case("Cast", X, to=7),
    case("Cast", BYTES, to=1),
    case("And", X > 0, X < 1),
    case("BitShift", BYTES, BYTES % 4, direction="LEFT"),
    # convolutions and pooling
    case("Conv", V, real(6, 4, 3), real(6), known=(1, 2), pads=[2, 0], strides=[2]),
    case("Conv", X, real(6, 2, 3, 2), real(6), known=(1, 2), group=2, pads=[1, 0, 2, 1], dilations=[2, 1]),
    case("Conv", X, real(4, 1, 3, 3), known=(1,), group=4, auto_pad="SAME_UPPER", strides=[2, 2]),
    case("Conv", X, real(5, 4, 3, 3), known=(1,), auto_pad="SAME_LOWER", strides=[2, 2]),
    case("Conv", real(1, 2, 4, 5, 6), real(3, 2, 2, 2, 2), known=(1,)),
    case("ConvTranspose", V, real(4, 3, 3), real(3), known=(1, 2), strides=[2], pads=[1, 0], output_padding=[1]),
    case("ConvTranspose", X, real(4, 3, 3, 3), known=(1,), group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
    case("ConvTranspose", X, real(4, 3, 3, 3), real(3), known=(1, 2), strides=[3, 2], output_shape=[20, 12]),
    case("ConvTranspose", X, real(4, 3, 3, 3), known=(1,), strides=[2, 2], auto_pad="SAME_UPPER"),
    case("ConvTranspose", X, real(4, 3, 3, 3), known=(1,), strides=[2, 2], auto_pad="SAME_LOWER"),
    case("ConvTranspose", real(1, 2, 3, 3, 3), real(2, 2, 2, 2, 2), known=(1,), strides=[2, 2, 2]),
    case("MaxPool", X, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1),
    case("MaxPool", X, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], outputs=2),
    case("MaxPool", X, kernel_shape=[2, 2], dilations=[2, 2], opset=12),
    case("MaxPool", V, kernel_shape=[3], auto_pad="SAME_UPPER", strides=[2]),
    case("AveragePool", X, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("AveragePool", X, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    case("AveragePool", X, kernel_shape=[3, 2], pads=[0, 0, 1, 1], strides=[2, 1]),
    case("AveragePool", V, kernel_shape=[2], ceil_mode=1, strides=[2]),
    case("LpPool", X, kernel_shape=[2, 2], p=3, opset=18),
    case("GlobalAveragePool", X),
    case("GlobalMaxPool", X),
    case("GlobalLpPool", X, p=2),
    # normalisation
    case("BatchNormalization", X, real(4), real(4), real(4), np.abs(real(4)), known=(1, 2, 3, 4), epsilon=1e-3),
    case("BatchNormalization", V, real(4), real(4), real(4), np.abs(real(4)), known=(1, 2, 3, 4), opset=9),
    case("InstanceNormalization", X, real(4), real(4), known=(1, 2)),
    case("LayerNormalization", X, real(6), real(6), known=(1, 2)),
    case("LayerNormalization", X, real(7, 6), known=(1,), axis=2),
    case("GroupNormalization", X, real(4), real(4), known=(1, 2), num_groups=2),
    case("LRN", X, size=3, alpha=0.1),
    case("MeanVarianceNormalization", X),
    case("LpNormalization", X, p=1, axis=1),
    # products
    case("Gemm", real(3, 4), real(4, 5), real(5), known=(1, 2), alpha=0.5, beta=2.0),
    case("Gemm", real(3, 4), real(5, 4), real(1, 5), known=(1, 2), transB=1),
    case("Gemm", real(4, 3), real(4, 5), real(3, 1), transA=1),
    case("Gemm", real(3, 4), real(5, 4), np.float32(2.0), known=(1, 2), transB=1),
    case("MatMul", real(2, 3, 4), real(4, 5), known=(1,)),
    case("MatMul", real(2, 3, 4), real(2, 4, 5)),
    case("Einsum", real(2, 3, 4), real(4, 5), known=(1,), equation="bij,jk->bik"),
    case("Einsum", real(2, 3, 4), equation="...ij -> ...ji"),
    # shapes and places
    case("Reshape", X, whole(0, -1, 3), known=(1,)),
    case("Flatten", X, axis=2),
    case("Flatten", X, axis=-1),
    case("Transpose", X, perm=[0, 2, 3, 1]),
    case("Squeeze", real(1, 3, 1), whole(0), known=(1,)),
    case("Squeeze", real(1, 3, 1), axes=[2], opset=11),
    case("Unsqueeze", V, whole(-1, 1), known=(1,)),
    case("Unsqueeze", V, axes=[0], opset=11),
    case("Concat", V, V, axis=-2),
    case("Split", X, whole(1, 3), known=(1,), axis=1, outputs=2),
    case("Split", X, axis=1, split=[2, 2], opset=11, outputs=2),
    case("Split", X, axis=2, num_outputs=3, outputs=3),
    case("Slice", X, whole(5, 1), whole(-100, 3), whole(2, 1), whole(-2, 1), known=(1, 2, 3, 4)),
    case("Slice", X, starts=[1], ends=[3], axes=[2], opset=9),
    case("Expand", real(4, 1), whole(2, 1, 3), known=(1,)),
    case("Tile", V, whole(1, 2, 3), known=(1,)),
    case("Shape", X, start=1),
    case("Size", X),
    case("Pad", X, whole(0, 0, 1, 2, 0, 0, 0, 1), np.float32(2), known=(1, 2)),
    case("Pad", X, whole(0, 0, 1, 2, 0, 0, 0, 1), known=(1,), mode="reflect"),
    case("Pad", X, whole(0, 1, 1, 2, 0, 0, 0, 1), known=(1,), mode="edge"),
    case("Pad", V, whole(1, 0, 0, 0, 0, 2), known=(1,), mode="reflect"),
    case("Pad", X, whole(-1, 2), None, whole(2), known=(1, 3)),
    case("Pad", V, whole(2, 3), None, whole(2), known=(1, 3), mode="wrap"),
    case("Pad", X, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=1.0, opset=10),
    case("DepthToSpace", real(1, 8, 2, 3), blocksize=2),
    case("DepthToSpace", real(1, 8, 2, 3), blocksize=2, mode="CRD"),
    case("SpaceToDepth", real(1, 2, 4, 6), blocksize=2),
    case("Gather", X, whole(1), known=(1,), axis=2),
    case("Gather", real(9, 5), np.array([[1, -1], [3, 0]]), known=(0,)),
    case("Gather", X, np.array([[2, -1]]), axis=1),
    case("GatherElements", V, np.array([[[1], [0], [3], [-1]]] * 2), axis=1),
    case("GatherND", V, np.array([[0, 1], [1, -1]])),
    case("GatherND", V, np.array([[1], [3]]), batch_dims=1),
    case("ScatterElements", V, np.array([[[1, 0]], [[3, 2]]]), real(2, 1, 2), axis=1),
    case("ScatterElements", V, np.array([[[1, 1]], [[2, 2]]]), real(2, 1, 2), axis=2, reduction="add"),
    case("ScatterND", V, np.array([[0, 1], [1, 2]]), real(2, 9)),
    case("ScatterND", V, np.array([[0, 1], [0, 1]]), real(2, 9), reduction="max"),
    case("OneHot", np.array([[0, 2], [-1, 1]]), whole(4), real(2), known=(1,), axis=1),
    case("TopK", X, whole(3), known=(1,), outputs=2, axis=2),
    case("TopK", X, whole(2), known=(1,), outputs=2, largest=0),
    case("ArgMax", X, axis=1, keepdims=0),
    case("ArgMin", np.array([[1, 0, 0]], np.float32), axis=1, select_last_index=1),
    case("CumSum", X, whole(2), known=(1,), exclusive=1, reverse=1),
    case("Trilu", X, np.array(1), known=(1,), upper=0),
    case("EyeLike", real(3, 4), k=1),
    case("ReverseSequence", real(5, 2, 3), whole(3, 5)),
    case("Compress", V, np.array([True, False, True]), known=(1,), axis=1),
    # resizing and sampling
    case("Resize", X, None, np.array([1, 1, 2, 3], np.float32), known=(2,)),
    case("Resize", X, None, np.array([1, 1, 1.7, 0.6], np.float32), known=(2,), nearest_mode="ceil"),
    case("Resize", X, None, None, whole(2, 4, 9, 4), known=(3,), mode="linear"),
    case("Resize", X, None, None, whole(2, 4, 9, 13), known=(3,), mode="cubic"),
    case("Resize", X, None, np.array([1, 1, 0.6, 0.6], np.float32), known=(2,), mode="linear"),
    case("Resize", X, None, np.array([1, 1, 0.6, 0.7], np.float32), known=(2,), mode="linear", antialias=1),
    case("Resize", X, None, None, whole(2, 4, 14, 12), known=(3,), coordinate_transformation_mode="asymmetric"),
    case("Resize", X, None, None, whole(2, 4, 3, 4), known=(3,), mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5),
    case("Resize", X, np.array([1, 1, 2, 2], np.float32), known=(1,), opset=10),
    case("Upsample", X, np.array([1, 1, 2, 2], np.float32), known=(1,), opset=9),
    case("Upsample", X, scales=[1.0, 1.0, 2.0, 2.0], mode="linear", opset=7),
    case("GridSample", X, real(2, 3, 5, 2).clip(-1, 1), align_corners=1),
    # whole numbers in steps
    case("QuantizeLinear", X, np.float32(0.05), np.uint8(128), known=(1, 2)),
    case("QuantizeLinear", X, np.abs(real(4)) / 9 + 0.01, np.zeros(4, np.int8), known=(1, 2), axis=1),
    case("DequantizeLinear", BYTES, np.abs(real(3)), np.array([1, 2, 3], np.uint8), known=(1, 2), axis=1),
    case("DynamicQuantizeLinear", X, outputs=3),
    case("MatMulInteger", BYTES[0], BYTES[1].T.copy(), np.uint8(3), np.uint8(7)),
    case("ConvInteger", BYTES[None], BYTES[None, :, :2, :2].copy(), np.uint8(1)),
]


@pytest.mark.parametrize(("operator", "inputs", "options"), CASES)
def test_an_operator_gives_what_onnx_runtime_gives(operator, inputs, options):
    """Values, shapes and types are those of ONNX Runtime."""
    agrees(*one(operator, [None if value is None else np.asarray(value) for value in inputs], **options))
