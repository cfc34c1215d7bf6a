"""Values computed over a dimension (softmax, mean, norms) make the channels of that dimension inseparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.labels import no_channels, varying_dims
from pruning_core.coupling.meetings import join, statistic
from pruning_core.coupling.rules.table import argument, rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context


@rule("softmax.int", "_softmax", "log_softmax.int", "_log_softmax", "_safe_softmax")
def softmax(ctx: Context, node: fx.Node, x: Tensor, dim: int, *args: Any, **kwargs: Any) -> Tensor:
    """A share of all channels: always inseparable."""
    statistic(ctx, node, x, [dim])
    return x


@rule("cumsum", "cumprod", "logcumsumexp")
def cumulative(ctx: Context, node: fx.Node, x: Tensor, dim: int, *args: Any, **kwargs: Any) -> Tensor:
    """Each value depends on those before it."""
    statistic(ctx, node, x, [dim])
    return x


@rule("mean", "sum", "linalg_vector_norm", "var", "std", "var_mean", "std_mean", "norm")
def moment(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Norms written by hand: they may follow the width."""
    return _reduce(ctx, node, x, is_norm=True)


@rule("amax", "amin", "logsumexp", "prod", "any", "all", "argmax", "argmin", "max.dim", "min.dim", "max.default")
@rule("min.default", "count_nonzero")
def extreme(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Reductions that nobody uses to normalise."""
    return _reduce(ctx, node, x, is_norm=False)


def _reduce(ctx: Context, node: fx.Node, x: Tensor, is_norm: bool) -> Any:
    given = argument(ctx, node, "dim")
    listed = [given] if isinstance(given, int) else list(given or range(x.dim()))
    dims = sorted({int(dim) % x.dim() for dim in listed})
    statistic(ctx, node, x, dims, is_norm=is_norm)
    result = x
    for dim in reversed(dims):
        result = result.narrow(dim, 0, 1) if len(ctx.shape(node)) == x.dim() else result.select(dim, 0)
    if set(dims) & set(varying_dims(ctx.roots(x))):
        result = no_channels(result.shape)  # a mixture of channels is no channel
    return (result, result) if isinstance(node.meta["val"], (tuple, list)) else result


@rule("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(ctx: Context, node: fx.Node, x: Tensor, shape: Sequence[int], *affine: Any, **kwargs: Any) -> Any:
    """Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467."""
    statistic(ctx, node, x, range(x.dim() - len(shape), x.dim()), is_norm=True)
    for vector in affine:
        if isinstance(vector, Tensor):
            join(ctx, x, vector, node)
    value = node.meta["val"]
    return (x, *(no_channels(ctx.shape_of(v)) for v in value[1:])) if isinstance(value, (tuple, list)) else x


@rule("group_norm", "native_group_norm")
def group_norm(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """One statistic per group of channels: whole groups go. Wu and He 2018, arXiv:1803.08494.

    Through norms the same positions of every group may go instead, whichever leaves more to choose from.
    """
    groups = argument(ctx, node, "num_groups") or argument(ctx, node, "group")
    boxes = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    if ctx.options.through_norms:
        ctx.boxes.append(boxes)
        ctx.statistics.append((node, x, [1]))
    else:
        statistic(ctx, node, boxes, range(2, boxes.dim()), is_norm=True, whole=True)
    for name in ("weight", "bias"):
        if (vector := argument(ctx, node, name)) is not None:
            ctx.unite(x.movedim(1, -1), vector, node)
    value = node.meta["val"]
    return (x, *(no_channels(ctx.shape_of(v)) for v in value[1:])) if isinstance(value, (tuple, list)) else x


@rule("_native_batch_norm_legit_no_training", "batch_norm", "instance_norm", "_native_batch_norm_legit")
def channel_norm(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Each channel by itself, with its elements of the vectors. Ioffe and Szegedy 2015, arXiv:1502.03167."""
    for vector in args:
        if isinstance(vector, Tensor):
            ctx.unite(x.movedim(1, -1), vector, node)
    ctx.must_stay_constant(node, x, range(2, x.dim()))
    value = node.meta["val"]
    return (x, *(no_channels(ctx.shape_of(v)) for v in value[1:])) if isinstance(value, (tuple, list)) else x


@rule("prelu", "_prelu_kernel")
def prelu(ctx: Context, node: fx.Node, x: Tensor, slope: Tensor) -> Tensor:
    """One slope per channel, or one for all. He et al. 2015, arXiv:1502.01852."""
    if slope.numel() > 1:
        ctx.unite(x.movedim(1, -1), slope.reshape(-1), node)
    return x
