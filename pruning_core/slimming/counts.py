"""What a slimmed model holds and computes, from the labels of its channels alone: nothing is copied, built or run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from pruning_core.coupling import Coupling
from pruning_core.coupling.skippable import Skippable
from pruning_core.errors import CannotRemove
from pruning_core.graph import TRACE_BATCH
from pruning_core.layers import operator
from pruning_core.macs import MACS, Shape
from pruning_core.slimming.sites import Living, Site, is_thin, living
from pruning_core.slimming.skip import skipping
from pruning_core.slimming.tensors import IntArray, stored_lines, stored_tensors

INDEX_BYTES = 8  # torch indexes by int64


@dataclass(frozen=True)
class Counts:
    """The size of a flat graph of operators."""

    params: int  # elements of all parameters, tied ones once
    macs: int  # per example
    size_bytes: int  # of all tensors, tied ones once


def counts_of(coupling: Coupling, removed: IntArray) -> Counts:
    """Return the counts of the graph without the groups `removed`; refuses what must stay."""
    alive = Living(coupling, removed)
    tensors = stored_tensors(coupling, {})
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    shapes |= {name: tuple(map(living, lines)) for name, lines in stored_lines(coupling, removed).items()}
    indexed = dict(_indices(coupling, alive, tensors))
    read = {str(source.target) for source in _readings(coupling, indexed)}
    once = {id(tensors[name]): name for name in tensors if name in read}.values()
    return Counts(
        params=sum(prod(shapes[name]) for name in once if isinstance(tensors[name], nn.Parameter)),
        macs=sum(_macs(node, alive, shapes) for node in coupling.module.graph.nodes if operator(node) in MACS),
        size_bytes=sum(prod(shapes[name]) * tensors[name].element_size() for name in once)
        + INDEX_BYTES * sum(indexed.values()),
    )


def slimmed_counts(coupling: Coupling, removed: Iterable[int], skipped: Sequence[Skippable] = ()) -> Counts | None:
    """Return the counts without the channels `removed` and what is `skipped`, None where nothing goes or all must stay.

    Groups below zero are no channels; they name what is skipped.
    """
    channels = np.array(sorted(group for group in removed if group > 0), np.int64)
    if not len(channels) and not skipped:
        return None
    try:
        return counts_of(skipping(coupling, skipped, channels) if skipped else coupling, channels)
    except CannotRemove:  # the plan is masked; slimming it says why
        return None


def _macs(node: fx.Node, alive: Living, shapes: dict[str, Shape]) -> int:
    arguments = [_shape(source, alive, shapes) for source in node.args if isinstance(source, fx.Node)]
    return MACS[operator(node)](_shape(node, alive, shapes), arguments) // TRACE_BATCH


def _shape(node: fx.Node, alive: Living, shapes: dict[str, Shape]) -> Shape:
    """Return the shape of the (first) result at the traced batch, of what lives."""
    if node.op == "get_attr":
        return shapes[str(node.target)]
    return tuple(map(living, alive.results(node)[0]))


def _indices(coupling: Coupling, alive: Living, tensors: dict[str, Tensor]) -> Iterator[tuple[fx.Node, int]]:
    """Yield the calls that take channels by a constant of the smaller graph's own, and how many they take."""
    for node in coupling.module.graph.nodes:
        name = operator(node)
        if name in ("aten.index_select.default", "aten.slice.Tensor"):
            site = Site(node, node, alive, tensors)
            by_index = name == "aten.index_select.default" or site["step"] != 1
            if by_index and is_thin(site.entering[site["dim"]]):
                yield node, living(site.leaving[site["dim"]])


def _readings(coupling: Coupling, indexed: dict[fx.Node, Any]) -> Iterator[fx.Node]:
    """Yield the nodes whose stored tensor some call of the smaller graph reads."""
    for node in coupling.module.graph.nodes:
        if node.op == "get_attr" and any(user not in indexed or node is user.args[0] for user in node.users):
            yield node
