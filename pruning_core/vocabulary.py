"""Which tokens a model knows: those that the tables know in which its input is looked up."""

from collections.abc import Iterable

from torch import fx

from pruning_core.layers import EMBEDDING, Layer, operator

_KEEPS_TOKENS = frozenset(
    f"aten.{name}"
    for name in "_to_copy.default view.default slice.Tensor select.int unsqueeze.default clone.default".split()
)


def vocabulary(layers: Iterable[Layer]) -> int | None:
    """Return how many tokens the smallest table knows that the model's input is looked up in; None without one."""
    tables = (layer for layer in layers if layer.kind == "embedding")
    return min((table.weight_shape[1] for table in tables if any(map(_looks_up_input, table.nodes))), default=None)


def _looks_up_input(use: fx.Node) -> bool:
    """Whether an embedding reads the model's input as it is, or a part of it."""
    source = use.args[1] if operator(use) == EMBEDDING else None
    while isinstance(source, fx.Node) and operator(source) in _KEEPS_TOKENS:
        source = source.args[0]
    return isinstance(source, fx.Node) and source.op == "placeholder"
