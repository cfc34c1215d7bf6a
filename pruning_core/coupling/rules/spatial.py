"""Operators on each channel by itself that change only the spatial size."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.labels import first_of
from pruning_core.coupling.rules.table import rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context


@rule("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d")
@rule("adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool1d_with_indices")
@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "upsample_nearest1d", "upsample_nearest2d")
@rule("upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d")
@rule("reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d", "_upsample_bilinear2d_aa")
@rule("_upsample_nearest_exact2d", "_upsample_bicubic2d_aa")
def spatial(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Keep the channels; nothing may be cut along the spatial dimensions."""
    count = next(n for n in (1, 2, 3) if f"{n}d" in str(node.target))
    dims = list(range(x.dim() - count, x.dim()))
    ctx.must_stay_constant(node, x, dims)
    result = first_of(x, dims)
    shape = ctx.shape(node)
    result = result.expand(*result.shape[: dims[0]], *shape[dims[0] :])
    return (result, result) if isinstance(node.meta["val"], (tuple, list)) else result


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(ctx: Context, node: fx.Node, x: Tensor, grid: Tensor, *args: Any) -> Tensor:
    """Every channel read at the same places. Jaderberg et al. 2015, arXiv:1506.02025."""
    ctx.labels.freeze(grid, f"{ctx.where(node)} reads it as coordinates")
    dims = list(range(2, x.dim()))
    ctx.must_stay_constant(node, x, dims)
    return first_of(x, dims).expand(ctx.shape(node))


@rule("im2col")
def unfold(ctx: Context, node: fx.Node, x: Tensor, kernel: Sequence[int], *args: Any) -> Tensor:
    """(batch, channels, height, width) to (batch, channels x kernel, places): a channel is a run."""
    ctx.must_stay_constant(node, x, [2, 3])
    runs = first_of(x, [2, 3])[..., 0].repeat_interleave(prod(kernel), 1)
    return runs.expand(ctx.shape(node))


@rule("pixel_unshuffle")
def pixel_unshuffle(ctx: Context, node: fx.Node, x: Tensor, factor: int) -> Tensor:
    """The pixels of a channel become channels: a run."""
    ctx.must_stay_constant(node, x, [x.dim() - 2, x.dim() - 1])
    runs = first_of(x, [x.dim() - 2, x.dim() - 1]).repeat_interleave(factor * factor, x.dim() - 3)
    return runs.expand(ctx.shape(node))
