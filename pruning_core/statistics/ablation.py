"""How much the loss grows when one output alone is zero, measured: what comes before it is run once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx

from pruning_core.data import Inputs
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer
from pruning_core.statistics.gradients import first_tensor, loss_of


class Ablation:
    """Zeroes each output of each layer, after norm and nonlinearity, and runs again the nodes that depend on it."""

    def __init__(self, graph: ModelGraph, layers: Sequence[Layer]) -> None:
        self._interpreter = fx.Interpreter(graph.module, garbage_collect_values=False)
        self._layers = layers
        self._dependents = {layer.name: _dependents(layer.activation) for layer in layers}
        self._increase = {layer.name: torch.zeros(layer.weight_shape[0], dtype=torch.float64) for layer in layers}

    def see(self, inputs: Inputs, targets: Tensor, check_cancelled: Callable[[], None]) -> None:
        """Add the increases of the loss, summed over the examples of one batch."""
        if not self._layers:
            return
        with torch.no_grad():
            dense = loss_of(self._interpreter.run(*inputs), targets).double()
            values = dict(self._interpreter.env)
            for layer in self._layers:
                node, after = layer.activation, self._dependents[layer.name]
                assert node is not None  # every layer of a graph has one
                kept = {other: value for other, value in values.items() if other not in after}
                activation = first_tensor(values[node])
                axis = 1 if layer.kind.startswith("conv") else activation.dim() - 1
                for channel in range(layer.weight_shape[0]):
                    check_cancelled()
                    if not activation.select(axis, channel).any():
                        continue  # it is zero already
                    changed = activation.clone()
                    changed.select(axis, channel).zero_()
                    output = self._interpreter.run(*inputs, initial_env=kept | {node: changed})
                    self._increase[layer.name][channel] += loss_of(output, targets).double() - dense

    def of(self, layer: Layer, n: int) -> dict[str, Tensor]:
        """Return the mean increase (out,) over `n` examples."""
        if layer.name not in self._increase:
            return {}
        return {"ablation": (self._increase[layer.name] / n).float()}


def _dependents(start: fx.Node | None) -> set[fx.Node]:
    """Return `start` and all nodes that read it, directly or not."""
    found: set[fx.Node] = set()
    reached = [start] if start else []
    while reached:
        node = reached.pop()
        if node not in found:
            found.add(node)
            reached.extend(node.users)
    return found
