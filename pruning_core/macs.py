"""Multiply-accumulates of one graph node, by operator; halves of what torch.utils.flop_counter counts.

Shapes are those of one run with a known batch; the caller divides by it. An operator in neither table is reported as
unsupported by the graph, never silently counted as zero.
"""

from collections.abc import Callable
from math import prod

Shape = tuple[int, ...]


def _conv(out: Shape, args: list[Shape]) -> int:
    weight = args[1]  # (out, in / groups, *kernel)
    return prod(out) * prod(weight[1:])


def _conv_transpose(out: Shape, args: list[Shape]) -> int:
    x, weight = args[:2]  # weight (in, out / groups, *kernel): each input element meets weight[1:]
    return prod(x) * prod(weight[1:])


def _linear(out: Shape, args: list[Shape]) -> int:
    return prod(out) * args[1][-1]


def _matmul(out: Shape, args: list[Shape]) -> int:
    return prod(out) * args[0][-1]


def _addmm(out: Shape, args: list[Shape]) -> int:
    return prod(out) * args[1][-1]


def _attention(out: Shape, args: list[Shape]) -> int:
    query, key, value = args[:3]  # (batch, heads, length, width)
    return prod(query) * key[-2] + prod(query[:-1]) * key[-2] * value[-1]


MACS: dict[str, Callable[[Shape, list[Shape]], int]] = {
    **{f"aten.conv{d}d.{v}": _conv for d in (1, 2, 3) for v in ("default", "padding")},
    "aten.conv_transpose1d.default": _conv_transpose,
    "aten.conv_transpose2d.input": _conv_transpose,
    "aten.conv_transpose3d.input": _conv_transpose,
    "aten.linear.default": _linear,
    "aten.mm.default": _matmul,
    "aten.bmm.default": _matmul,
    "aten.matmul.default": _matmul,
    "aten.addmm.default": _addmm,
    "aten.baddbmm.default": _addmm,
    "aten.scaled_dot_product_attention.default": _attention,
}

# Operators without multiply-accumulates in the sense of DESIGN 6: movement, elementwise, pooling, normalisation.
FREE = frozenset(
    """
    __and__ _adaptive_avg_pool2d _assert_scalar _assert_tensor_metadata _native_batch_norm_legit_no_training _softmax
    _to_copy _unsafe_view abs acos adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d add alias alpha_dropout amax amin arange argmax argsort asin atan avg_pool1d avg_pool2d
    avg_pool3d batch_norm bitwise_and bitwise_not bitwise_or bucketize cat ceil channel_shuffle chunk clamp
    clamp_min clone constant_pad_nd contiguous copy cos cumsum detach detach_ diff div dropout elu embedding empty
    eq erf exp expand feature_dropout fill flatten flip floor full full_like gather ge gelu glu group_norm gt
    hardshrink hardsigmoid hardswish hardtanh index index_put index_select instance_norm isnan layer_norm le
    leaky_relu lift_fresh_copy linalg_vector_norm log log_softmax logical_and logical_not logical_or lt
    masked_fill max max_pool1d max_pool2d max_pool2d_with_indices max_pool3d maximum mean meshgrid min minimum
    mish movedim mul native_group_norm native_layer_norm ne neg new_full new_ones new_zeros ones ones_like pad
    permute pixel_shuffle pixel_unshuffle pow prelu reciprocal relu relu6 remainder repeat repeat_interleave
    reshape rms_norm roll round rsqrt rsub scalar_tensor scatter scatter_add select select_scatter sigmoid sign
    silu sin slice slice_scatter softmax softplus softshrink sort split split_with_sizes sqrt squeeze stack std
    sub sum sym_constrain_range_for_size sym_size t tanh tensor_split tile to topk transpose tril triu unbind
    unflatten unfold unsafe_split unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_linear1d
    upsample_nearest1d upsample_nearest2d var var_mean view where zeros zeros_like
    """.split()
)
