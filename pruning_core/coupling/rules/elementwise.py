"""Elementwise operators: operands that meet share their channels; broadcasting decides which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.meetings import join
from pruning_core.coupling.rules.table import rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

ONE_OPERAND = """relu relu6 gelu silu hardswish hardtanh hardsigmoid sigmoid tanh exp log sqrt rsqrt neg abs
clamp_min clamp_max leaky_relu elu selu celu softplus mish cos sin tan atan reciprocal sign erf floor ceil round trunc
square zero log1p expm1 log2 exp2 logical_not bitwise_not isnan isinf nan_to_num log_sigmoid hardshrink softshrink
threshold rrelu logit sinh cosh log10 erfc sgn frac""".split()
MORE_OPERANDS = """clamp pow add sub rsub mul div maximum minimum where masked_fill eq ne lt le gt ge fill
logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor __and__ __or__ addcmul addcdiv lerp atan2
remainder fmod floor_divide fmax fmin hypot""".split()


@rule(*ONE_OPERAND, *MORE_OPERANDS)
def elementwise(ctx: Context, node: fx.Node, *args: Any, **kwargs: Any) -> Tensor:
    """Join all operands."""
    tensors = [argument for argument in (*args, *kwargs.values()) if isinstance(argument, Tensor)]
    result = tensors[0]
    for other in tensors[1:]:
        result = join(ctx, result, other, node)
    return result


@rule("glu")
def glu(ctx: Context, node: fx.Node, x: Tensor, dim: int = -1) -> Tensor:
    """One half times the sigmoid of the other: channels go in pairs. Dauphin et al. 2017, arXiv:1612.08083."""
    value, gate = x.chunk(2, dim)
    return join(ctx, value, gate, node)
