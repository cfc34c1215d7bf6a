"""What the tests of slimming share: removing named channels, and holding the results against each other."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, fx, nn

from pruning_core.coupling import Coupling, Options, couple
from pruning_core.layers import operator
from pruning_core.slimming import living_graph, slim_graph
from pruning_core.slimming.compare import difference
from tests.pruning_core.coupling.nets import traced
from tests.removals import IntArray, masked_module
from tests.zoo import shaken

THROUGH_NORMS = Options(through_norms=True)
CLOSE = 1e-5  # of the largest output


def coupled(net: nn.Module, *inputs: Tensor, options: Options | None = None) -> Coupling:
    """Couple a net with shaken weights."""
    return couple(traced(shaken(net), *inputs), options)


def groups_of(coupling: Coupling, name: str, *indices: int, dim: int = 0) -> IntArray:
    """Return the groups of some indices of a stored dimension."""
    return np.unique(coupling.roots[name, dim][list(indices)])


def assert_equal(module: nn.Module, reference: nn.Module, *batches: tuple[Tensor, ...], close: float = CLOSE) -> None:
    """Hold outputs against each other; two sums of the same numbers may differ by rounding."""
    found, scale, _ = difference(module, reference, batches)
    assert scale > 0
    assert found <= close * scale


def batches_of(*inputs: Tensor) -> list[tuple[Tensor, ...]]:
    """Return random inputs of three batch sizes like the examples."""
    generator = torch.Generator().manual_seed(7)
    return [tuple(torch.randn(n, *x.shape[1:], generator=generator) for x in inputs) for n in (1, 2, 3)]


def slimmed(
    net: nn.Module, inputs: tuple[Tensor, ...], pick: Callable[[Coupling], IntArray], options: Options | None = None
) -> fx.GraphModule:
    """Return the slim graph of a net, which equals the masked net and moved its outputs."""
    coupling = coupled(net, *inputs, options=options)
    removed = pick(coupling)
    graph = slim_graph(coupling, removed)
    masked = living_graph(coupling, removed) if options else masked_module(net, coupling, removed)
    batches = batches_of(*inputs)
    assert_equal(graph, masked, *batches)
    moved, scale, _ = difference(masked, net, batches)
    assert moved > 1e-3 * scale, "the removal changes nothing, so the comparison says nothing"
    return graph


def calls(graph: fx.GraphModule, name: str) -> list[fx.Node]:
    """Return the calls of an operator, `conv2d` for all its overloads."""
    return [node for node in graph.graph.nodes if operator(node).removeprefix("aten.").split(".")[0] == name]


def arguments(graph: fx.GraphModule, name: str) -> list[object]:
    """Return what the only call of an operator is given after its first argument."""
    (node,) = calls(graph, name)
    return list(node.args[1:])
