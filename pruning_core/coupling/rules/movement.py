"""Data movement: torch runs the operator on the labels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from pruning_core.coupling.labels import compact, first_of, no_channels, stored, varying_dims
from pruning_core.coupling.rules.table import rule

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context


@rule("permute", "transpose.int", "t", "expand", "slice", "select.int", "split", "split_with_sizes", "chunk")
@rule("unbind.int", "squeeze", "unsqueeze", "flip", "repeat", "flatten.using_ints", "movedim")
@rule("repeat_interleave.self_int")
def move(ctx: Context, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
    """Run the operator on the labels."""
    return node.target(*args, **kwargs)  # type: ignore[operator]


@rule("view.default", "reshape", "_unsafe_view")
def view(ctx: Context, node: fx.Node, x: Tensor, shape: Sequence[int]) -> Tensor:
    """Any view: labels may be stored in another order than the values."""
    return x.reshape(shape)


@rule("clone", "contiguous", "alias", "detach", "_to_copy", "to", "type_as", "lift_fresh_copy", "dropout")
@rule("feature_dropout", "alpha_dropout")
def same(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The result has the channels of the first argument."""
    return x


@rule("cat")
def cat(ctx: Context, node: fx.Node, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Pieces beside each other; pieces above each other (class token, patches) share their channels at once.

    Without that a layer norm that follows would see labels that vary along tokens and channels together.
    """
    tensors = [piece for piece in tensors if piece.dim() > 1 or piece.numel()]  # cat skips legacy empty tensors
    dim %= tensors[0].dim()
    pieces = [compact(ctx.roots(piece)) for piece in tensors]
    if not any(dim in varying_dims(piece) for piece in pieces) and any(varying_dims(piece) for piece in pieces):
        for other in pieces[1:]:
            ctx.unite(pieces[0].narrow(dim, 0, 1), other.narrow(dim, 0, 1), node)
    small = [stored(piece) for piece in pieces]
    beside = np.broadcast_shapes(*[piece.select(dim, 0).shape for piece in small])
    shapes = [[*beside[:dim], piece.shape[dim], *beside[dim:]] for piece in pieces]
    joined = torch.cat([piece.expand(shape) for piece, shape in zip(small, shapes, strict=True)], dim)
    full = list(pieces[0].shape)
    full[dim] = joined.shape[dim]
    return joined.expand(full)


@rule("stack")
def stack(ctx: Context, node: fx.Node, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """A cat along a new dimension."""
    dim %= tensors[0].dim() + 1
    return cat(ctx, node, [piece.unsqueeze(dim) for piece in tensors], dim)


@rule("pixel_shuffle")
def pixel_shuffle(ctx: Context, node: fx.Node, x: Tensor, factor: int) -> Tensor:
    """The channels behind one output channel become its pixels, so they are one."""
    result: Tensor = torch.pixel_shuffle(x, factor)
    ctx.must_stay_constant(node, result, [result.dim() - 2, result.dim() - 1])
    return result


@rule("pad", "constant_pad_nd")
def pad(ctx: Context, node: fx.Node, x: Tensor, amounts: Sequence[int], mode: Any = "constant", *_: Any) -> Tensor:
    """Spatial padding keeps channels; padded channels are channels of their own (ResNet's option A shortcut)."""
    dims = [x.dim() - 1 - i // 2 for i, amount in enumerate(amounts) if amount]
    if isinstance(mode, str) and mode != "constant":
        ctx.must_stay_constant(node, x, dims)
        return first_of(x, dims).expand(ctx.shape(node))
    if set(dims).isdisjoint(varying_dims(ctx.roots(x))):
        return first_of(x, sorted(set(dims))).expand(ctx.shape(node))
    result: Tensor = torch.nn.functional.pad(x, list(amounts), value=-1).contiguous()
    new = result == -1
    result[new] = ctx.labels.fresh(int(new.sum()))
    return result


@rule("roll")
def roll(ctx: Context, node: fx.Node, x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    """Positions that move round cannot be cut."""
    ctx.must_stay_constant(node, x, [dim % x.dim() for dim in dims] or list(range(x.dim())))
    return torch.roll(x, list(shifts), list(dims))


@rule("index.Tensor")
def index(ctx: Context, node: fx.Node, x: Tensor, indices: Sequence[Tensor | None]) -> Any:
    """Advanced indexing: the real indices where they depend on no input, otherwise only over plain dimensions."""
    sources: Sequence[Any] = node.args[1]  # type: ignore[assignment]
    real = [None if source is None else ctx.real.get(source) for source in sources]
    dims = [dim for dim, source in enumerate(sources) if source is not None]
    ctx.must_stay_constant(node, x, dims)
    if any(source is not None and value is None for source, value in zip(sources, real, strict=True)):
        if set(dims) & set(varying_dims(ctx.roots(x))):
            return ctx.unknown(node, "its index over a channel dimension is computed from the input")
        real = [None if i is None else torch.zeros(i.shape, dtype=torch.int64) for i in indices]
    chosen: Tensor = torch.ops.aten.index.Tensor(x, real)
    return chosen


@rule("index_select")
def index_select(ctx: Context, node: fx.Node, x: Tensor, dim: int, _: Tensor) -> Any:
    """Chosen channels in a constant order."""
    source = node.args[2]
    if not isinstance(source, fx.Node) or source not in ctx.real:
        if dim % x.dim() not in varying_dims(ctx.roots(x)):
            return x.narrow(dim, 0, 1).expand(ctx.shape(node))
        return ctx.unknown(node, "its index over a channel dimension is computed from the input")
    return torch.index_select(x, dim, ctx.real[source])


@rule("slice_scatter")
def slice_scatter(ctx: Context, node: fx.Node, x: Tensor, source: Tensor, *bounds: Any, **named: Any) -> Tensor:
    """The source replaces a region: one channel each."""
    if varying_dims(ctx.roots(x)) or varying_dims(ctx.roots(source)):
        ctx.unite(torch.ops.aten.slice.Tensor(x, *bounds, **named), source, node)
    return x


@rule("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like")
@rule("rand_like", "randn_like")
def created(ctx: Context, node: fx.Node, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """New data without channels: of the argument only type or size matter."""
    return x if node.target.__name__.split(".")[0].endswith("_like") else no_channels(ctx.shape(node))  # type: ignore[union-attr]
