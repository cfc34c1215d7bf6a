"""Stored weights: the channels that enter meet the weight's inputs, its outputs leave as new channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.context import Grouped
from pruning_core.coupling.labels import compact
from pruning_core.coupling.rules.table import argument, rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

COMPUTED = "its weight is computed, not stored"


@rule("linear", weights=(1,))
def linear(ctx: Context, node: fx.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """A weight stored (out, in)."""
    source = node.args[1]
    return ctx.linear(node, x, source, bias, in_dim=1) if ctx.is_weight(source) else ctx.unknown(node, COMPUTED)


@rule("addmm", weights=(2,))
def addmm(ctx: Context, node: fx.Node, bias: Tensor, x: Tensor, weight: Tensor, **scales: Any) -> Any:
    """A weight stored (in, out)."""
    source = node.args[2]
    return ctx.linear(node, x, source, bias, in_dim=0) if ctx.is_weight(source) else ctx.unknown(node, COMPUTED)


@rule("conv1d", "conv2d", "conv3d", weights=(1,))
def convolution(ctx: Context, node: fx.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any) -> Any:
    """A weight stored (out, in / groups, *kernel)."""
    source = node.args[1]
    if not isinstance(source, fx.Node) or not ctx.is_weight(source):
        return ctx.unknown(node, COMPUTED)
    if x.dim() != weight.dim():
        return ctx.unknown(node, "its input has no batch dimension")
    groups, leaving = int(argument(ctx, node, "groups")), ctx.slots(source, 0)
    channels = x.movedim(1, -1)
    if groups == 1:
        ctx.unite(channels, ctx.slots(source, 1), node)
    else:
        entering = _per_group(ctx, channels, groups)
        ctx.grouped.append(Grouped(entering, leaving.reshape(groups, -1), source, inputs_dim=1, outputs_dim=None))
    return _finish(ctx, node, x, source, bias, leaving)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", weights=(1,))
def transposed(ctx: Context, node: fx.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any) -> Any:
    """A weight stored (in, out / groups, *kernel)."""
    source = node.args[1]
    if not isinstance(source, fx.Node) or not ctx.is_weight(source):
        return ctx.unknown(node, COMPUTED)
    if x.dim() != weight.dim():
        return ctx.unknown(node, "its input has no batch dimension")
    groups, channels = int(argument(ctx, node, "groups")), x.movedim(1, -1)
    ctx.unite(channels, ctx.slots(source, 0), node)
    if groups == 1:
        leaving = ctx.slots(source, 1)
    else:  # no stored dimension counts the outputs of all groups: they are labels of their own
        leaving = ctx.leaving[ctx.name_of(source)] = ctx.labels.fresh(groups * weight.shape[1])
        entering = _per_group(ctx, channels, groups)
        ctx.grouped.append(Grouped(entering, leaving.reshape(groups, -1), source, inputs_dim=None, outputs_dim=1))
    return _finish(ctx, node, x, source, bias, leaving)


def _per_group(ctx: Context, channels: Tensor, groups: int) -> Tensor:
    return compact(ctx.roots(channels.reshape(*channels.shape[:-1], groups, -1)))


def _finish(ctx: Context, node: fx.Node, x: Tensor, source: fx.Node, bias: Tensor | None, leaving: Tensor) -> Tensor:
    if bias is not None:
        ctx.unite(leaving, bias, node)
    ctx.must_stay_constant(node, x, range(2, x.dim()))
    return leaving.reshape([1, -1] + [1] * (x.dim() - 2)).expand(ctx.shape(node))


@rule("embedding", weights=(0,))
def embedding(ctx: Context, node: fx.Node, table: Tensor, ids: Tensor, *args: Any) -> Any:
    """A table (rows, out): the input chooses rows, so they stay."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or not ctx.is_weight(source):
        return ctx.unknown(node, "its table is computed, not stored")
    ctx.labels.freeze(ctx.slots(source, 0), f"the input chooses rows of '{ctx.name_of(source)}'")
    leaving = ctx.slots(source, 1)
    return leaving.expand([*ids.shape, len(leaving)])
