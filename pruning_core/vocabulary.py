"""Which tokens a model knows: those that the tables know in which an input is looked up."""

from torch import fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import EMBEDDING, operator

_KEEPS_TOKENS = frozenset(
    f"aten.{name}"
    for name in "_to_copy.default view.default slice.Tensor select.int unsqueeze.default clone.default".split()
)


def vocabulary(graph: ModelGraph, place: int = 0) -> int | None:
    """Return how many tokens the smallest table knows that input `place` is looked up in; None without one."""
    inputs = [node for node in graph.module.graph.nodes if node.op == "placeholder"]
    tables = (layer for layer in graph.layers if layer.kind == "embedding")
    looked_up = (table for table in tables if any(_source(use) is inputs[place] for use in table.nodes))
    return min((table.weight_shape[1] for table in looked_up), default=None)


def _source(use: fx.Node) -> object:
    """Return the input that an embedding reads as it is, or a part of it; else what stands between."""
    source = use.args[1] if operator(use) == EMBEDDING else None
    while isinstance(source, fx.Node) and operator(source) in _KEEPS_TOKENS:
        source = source.args[0]
    return source
