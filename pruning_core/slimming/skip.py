"""The coupling of a graph in which some parts are skipped: their results are what enters them."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace

import torch
from torch import fx

from pruning_core.coupling import Coupling
from pruning_core.coupling.passes import TRACED_AS
from pruning_core.coupling.skippable import Skippable
from pruning_core.slimming.tensors import IntArray


def skipping(coupling: Coupling, skipped: Iterable[Skippable], removed: IntArray) -> Coupling:
    """Return `coupling` with a graph without `skipped`, and without all that nothing reads any more.

    A layer whose result loses other channels of `removed` than its input stays: it passes on what both keep.
    """
    graph = deepcopy(coupling.module.graph)
    copies = dict(zip(coupling.module.graph.nodes, graph.nodes, strict=True))
    stands_for = _replacements(coupling, skipped, removed)
    for result, source in stands_for.items():
        while source in stands_for:
            source = stands_for[source]
        copies[result].replace_all_uses_with(copies[source])
    graph.eliminate_dead_code()
    left = set(graph.nodes)
    return replace(
        coupling,
        module=fx.GraphModule(coupling.module, graph),
        values={copies[node]: value for node, value in coupling.values.items() if copies.get(node) in left},
        statistics={copies[node]: dims for node, dims in coupling.statistics.items() if copies.get(node) in left},
    )


def _replacements(coupling: Coupling, skipped: Iterable[Skippable], removed: IntArray) -> dict[fx.Node, fx.Node]:
    """Return for each result that goes the node that stands for it."""
    nodes = {node.meta.get(TRACED_AS, node.name): node for node in coupling.module.graph.nodes}
    pairs = [(nodes[part.result], nodes[part.source]) for part in skipped]
    return {result: source for result, source in pairs if _keep_the_same(coupling, result, source, removed)}


def _keep_the_same(coupling: Coupling, result: fx.Node, source: fx.Node, removed: IntArray) -> bool:
    lines = [coupling.alive(coupling.values[node], removed) for node in (result, source)]
    return all(torch.equal(one, other) for one, other in zip(*lines, strict=True))
