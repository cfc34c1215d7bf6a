"""The numbers in a graph that name sizes, one small function per operator; each changes its call in place."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pruning_core.slimming.sites import Site, is_thin, living

REWRITES: dict[str, Callable[[Site], None]] = {}


def rewrites(*operators: str) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Register the rewrite of `operators`, named as aten does, without overloads."""

    def register(function: Callable[[Site], None]) -> Callable[[Site], None]:
        REWRITES.update(dict.fromkeys(operators, function))
        return function

    return register


# ---------------------------------------------------------------------------------------------------- sizes
@rewrites("view", "reshape", "_unsafe_view", "view_copy")
def view(site: Site) -> None:
    """New sizes; a size that depends on the batch as well becomes −1, which may stand only once.

    A reshape from now on: kernels lay out smaller results differently, and a view depends on that.
    """
    sizes = list(site["shape" if "shape" in site else "size"])
    open_sizes = 0
    for dim, (size, line) in enumerate(zip(sizes, site.leaving, strict=True)):
        if isinstance(size, int) and size >= 0:
            sizes[dim] = living(line)
        elif is_thin(line):
            sizes[dim] = -1
        open_sizes += isinstance(sizes[dim], int) and sizes[dim] < 0
    if open_sizes > 1:
        raise site.refused("two of its sizes depend on the batch and would shrink")
    site.becomes(torch.ops.aten.reshape.default, site.source, sizes)


@rewrites("expand")
def expand(site: Site) -> None:
    """New sizes; −1 keeps what enters."""
    sizes, leaving = list(site["size"]), site.leaving
    entering = [None] * (len(sizes) - len(site.entering)) + list(site.entering)
    for dim, (size, line, before) in enumerate(zip(sizes, leaving, entering, strict=True)):
        if isinstance(size, int) and size >= 0:
            sizes[dim] = living(line)
        elif is_thin(line):
            if before is None or len(before) != len(line):
                raise site.refused("a size that depends on the batch would shrink")
            sizes[dim] = -1
    site["size"] = sizes


@rewrites("zeros", "ones", "full", "empty", "new_zeros")
def created(site: Site) -> None:
    """Initial states of recurrent layers have the size of what they meet."""
    sizes = list(site["size"])
    for dim, line in enumerate(site.leaving):
        if is_thin(line) and not isinstance(sizes[dim], int):
            raise site.refused("a size that depends on the batch would shrink")
        sizes[dim] = living(line) if is_thin(line) else sizes[dim]
    site["size"] = sizes


@rewrites("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(site: Site) -> None:
    """The shape that is normalised over."""
    site["normalized_shape"] = [living(line) for line in site.entering[-len(site["normalized_shape"]) :]]


@rewrites("group_norm")
def group_norm(site: Site) -> None:
    """Whole groups go, or the same positions of every group."""
    site["num_groups"] = groups_left(site)


def groups_left(site: Site) -> int:
    """Return the number of groups of a group norm of what lives."""
    channels = site.entering[1].reshape(site["num_groups"], -1)  # (groups, channels of a group)
    per_group = channels.sum(1)
    if len(set(per_group[per_group > 0].tolist())) > 1:
        raise site.refused("its groups would lose different numbers of channels")
    return int((per_group > 0).sum())


@rewrites("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(site: Site) -> None:
    """The number of groups: channels that remain, by channels of one group as the weight says."""
    if site["groups"] == 1:
        return
    channels = site.leaving[1] if "transpose" in str(site.was.target) else site.entering[1]
    per_group = site.tensors[str(site["weight"].target)].shape[1]
    site["groups"] = living(channels) // per_group


@rewrites("scaled_dot_product_attention")
def attention(site: Site) -> None:
    """Thinner heads keep the scale they were trained with, 1/√d of the old d."""
    width = site.entering[-1]
    if is_thin(width) and site["scale"] is None:
        site["scale"] = 1 / math.sqrt(len(width))


@rewrites("squeeze")
def squeeze(site: Site) -> None:
    """Dimensions that become 1 by removal stay: only those go that were 1 before."""
    entering = site.entering
    if not any(is_thin(line) and living(line) == 1 for line in entering):
        return
    if site.was.target == torch.ops.aten.squeeze.default:
        asked: Iterable[int] = range(len(entering))
    else:
        asked = [site["dim"]] if isinstance(site["dim"], int) else site["dim"]
    dims = [dim for dim in asked if len(entering[dim]) == 1]
    site.becomes(torch.ops.aten.squeeze.dims, site.source, dims)


# ------------------------------------------------------------------------------------------------ positions
@rewrites("slice", "slice_scatter")
def slices(site: Site) -> None:
    """Start and end count what lives before them; every n-th of what is thinned becomes an index."""
    line = site.entering[site["dim"]]
    if not is_thin(line):
        return
    bounds = {name: site[name] for name in ("start", "end")}
    if not all(bound is None or isinstance(bound, int) for bound in bounds.values()):
        raise site.refused("its bounds depend on the batch, and the dimension would shrink")
    if site["step"] != 1:
        if "scatter" in str(site.was.target):
            raise site.refused(f"it writes to every {site['step']}th channel")
        chosen = torch.arange(len(line))[bounds["start"] : bounds["end"] : site["step"]]
        _take(site, site["dim"], chosen)
        return
    for name, bound in bounds.items():
        if bound is not None and bound < len(line):
            site[name] = living(line[:bound])


@rewrites("select")
def select(site: Site) -> None:
    """The position among those that live."""
    line, index = site.entering[site["dim"]], site["index"]
    if not is_thin(line):
        return
    if not isinstance(index, int) or not line[index]:
        raise site.refused("it takes a channel that would be removed")
    site["index"] = living(line[: index % len(line)])


@rewrites("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "tensor_split")
def split(site: Site) -> None:
    """Sizes of the pieces."""
    dim = site["dim"]
    if is_thin(site.entering[dim]):
        sizes = [living(piece[dim]) for piece in site.pieces]
        site.becomes(torch.ops.aten.split_with_sizes.default, site.source, sizes, dim)


@rewrites("pad", "constant_pad_nd")
def pad(site: Site) -> None:
    """Amounts along channels: what lives of the padding."""
    amounts, leaving = list(site["pad"]), site.leaving
    for position, amount in enumerate(amounts):
        line = leaving[len(leaving) - 1 - position // 2]
        if is_thin(line) and amount > 0:
            amounts[position] = living(line[:amount] if position % 2 == 0 else line[len(line) - amount :])
        elif is_thin(line) and amount < 0:
            raise site.refused("it cuts channels off, and the dimension would shrink")
    site["pad"] = amounts


@rewrites("index_select")
def index_select(site: Site) -> None:
    """A constant order of channels names their new positions."""
    if not is_thin(site.entering[site["dim"]]):
        return
    index = site["index"]
    if index.op != "get_attr":
        raise site.refused("its index is computed, and the dimension would shrink")
    _take(site, site["dim"], site.tensors[str(index.target)])


def _take(site: Site, dim: int, chosen: Tensor) -> None:
    """Make the call an index_select of those of `chosen` (old positions) that live, at their new positions."""
    line = site.entering[dim]
    position = line.cumsum(0) - 1
    index_node = site.constant("living", position[chosen[line[chosen]]])
    site.becomes(torch.ops.aten.index_select.default, site.source, dim, index_node)
