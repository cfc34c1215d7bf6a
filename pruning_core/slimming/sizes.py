"""The numbers in a graph that name sizes: one small function per operator changes its call in place."""

import math
from collections.abc import Iterable

import torch

from pruning_core.slimming.rewrites import rewrites
from pruning_core.slimming.sites import Site, is_thin, living


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
