"""The numbers in a graph that name positions of channels: one small function per operator changes its call in place."""

import torch
from torch import Tensor

from pruning_core.slimming.rewrites import rewrites
from pruning_core.slimming.sites import Site, is_thin, living


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
