"""The masked function where norms may lose channels: their statistics are those of the living channels.

Setting channels to zero changes the mean and the variance that a norm computes, removing them does not. So the masked
reference gathers what lives before it takes a statistic; a norm's result is put back among zeros.
"""

from collections.abc import Callable

import torch
from torch import Tensor, fx

from pruning_core.coupling import Coupling
from pruning_core.layers import operator
from pruning_core.slimming.rewrite import copied
from pruning_core.slimming.sites import Living, Site, is_thin, living
from pruning_core.slimming.sizes import groups_left
from pruning_core.slimming.tensors import IntArray, State, graph_module, masked, stored_lines, stored_tensors

_select = torch.ops.aten.index_select.default


def living_graph(coupling: Coupling, removed: IntArray, state: State | None = None) -> fx.GraphModule:
    """Return the graph with the groups `removed` at zero and statistics over living channels; shapes are the old ones.

    Values come from `state`, else they are the model's own. Without `through_norms` it is the masked graph as it is.
    """
    lines = stored_lines(coupling, removed)
    tensors = masked(stored_tensors(coupling, state or {}), lines)
    alive = Living(coupling, removed)
    graph, copies = copied(coupling.module)
    for was, dims in coupling.statistics.items():
        site = Site(copies[was], was, alive, tensors)
        thin = {dim: line for dim, line in enumerate(site.entering) if dim in dims and is_thin(line)}
        name = operator(was).removeprefix("aten.").split(".")[0]
        if thin and name not in _STATISTICS:
            raise site.refused("its statistic cannot be taken of the living channels alone")
        if thin:
            _STATISTICS[name](site, thin)
    return graph_module(tensors, graph)


def _gather(site: Site, thin: dict[int, Tensor], vectors: dict[str, int]) -> None:
    """Take what lives of the input, and of vectors whose first dimension is the given one of the input."""
    for dim, line in thin.items():
        chosen = site.constant(f"living_{dim}", line.nonzero()[:, 0])
        for name, first in {site.first_name: 0, **vectors}.items():
            if name in site and site[name] is not None:
                with site.node.graph.inserting_before(site.node):
                    site[name] = site.node.graph.call_function(_select, (site[name], dim - first, chosen))


def _scatter(site: Site, thin: dict[int, Tensor]) -> None:
    """Put the result back at its old places, among zeros."""
    graph, users, last = site.node.graph, list(site.node.users), site.node
    for dim, line in thin.items():
        place = site.constant(f"place_{dim}", torch.where(line, line.cumsum(0) - 1, living(line)))  # the last is zero
        amounts = [0, 0] * (len(site.entering) - 1 - dim) + [0, 1]
        with graph.inserting_after(last):
            padded = graph.call_function(torch.ops.aten.constant_pad_nd.default, (last, amounts))
        with graph.inserting_after(padded):
            last = graph.call_function(_select, (padded, dim, place))
    for user in users:
        user.replace_input_with(site.node, last)


def _moment(site: Site, thin: dict[int, Tensor]) -> None:
    """A reduction of what lives: none of these dimensions remains."""
    _gather(site, thin, {})


def _layer_norm(site: Site, thin: dict[int, Tensor]) -> None:
    first = len(site.entering) - len(site["normalized_shape"])
    _gather(site, thin, {"weight": first, "bias": first})
    site["normalized_shape"] = [living(line) for line in site.entering[first:]]
    _scatter(site, thin)


def _group_norm(site: Site, thin: dict[int, Tensor]) -> None:
    _gather(site, thin, {"weight": 1, "bias": 1})
    site["num_groups"] = groups_left(site)
    _scatter(site, thin)


_STATISTICS: dict[str, Callable[[Site, dict[int, Tensor]], None]] = {
    **dict.fromkeys("mean sum var std var_mean std_mean linalg_vector_norm norm".split(), _moment),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    "group_norm": _group_norm,
}
