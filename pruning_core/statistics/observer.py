"""Runs the graph and adds up what the layers read and give."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.columns import column_gram, column_squares
from pruning_core.criteria.meaning import lacks
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer
from pruning_core.statistics.gradients import Gradients, first_tensor

CHUNK = 1 << 22  # activations that are multiplied at once
INPUTS = frozenset({"input_norm", "inputs_gram"})
OUTPUTS = frozenset({"activation_zeros", "activation_mean", "output_mean", "output_covariance"})


class Observer(fx.Interpreter):
    """Interprets the graph; parameters are read as aliases, the activations that gradients ask for become leaves."""

    def __init__(self, graph: ModelGraph, layers: Sequence[Layer], names: frozenset[str], gradients: Gradients) -> None:
        super().__init__(graph.module)
        self.names, self.gradients, self.n = names, gradients, 0
        self.readers = {node: layer for layer in layers for node in layer.nodes} if names & INPUTS else {}
        seen = OUTPUTS | {"activation_gradient"}
        self.lacking = {layer.name: lacks(layer) for layer in layers}
        givers = [layer for layer in layers if "activation_mean" not in self.lacking[layer.name]]
        self.givers = {layer.activation: layer for layer in givers} if names & seen else {}
        self.sums: dict[tuple[str, str], Tensor] = {}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph on inputs (batch, ...)."""
        self.n += len(args[0])
        return super().run(*args, **kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Return the alias of a parameter."""
        value = super().get_attr(target, args, kwargs)
        return self.gradients.alias(value) if isinstance(value, Tensor) else value

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; observe what its layer reads and gives."""
        if n in self.readers:
            self._see_input(n, self.readers[n], self.fetch_args_kwargs_from_env(n)[0])
        result = super().run_node(n)
        if n in self.givers:
            self._see_output(self.givers[n], first_tensor(result).detach())
            result = self.gradients.as_leaf(self.givers[n], result)
        return result

    def _see_input(self, node: fx.Node, layer: Layer, args: Sequence[Any]) -> None:
        if "input_norm" in self.names:
            self._add(layer, "squares", column_squares(node, layer, args))
        if "inputs_gram" in self.names and "inputs_gram" not in self.lacking[layer.name]:
            self._add(layer, "gram", column_gram(node, layer, args))

    def _see_output(self, layer: Layer, values: Tensor) -> None:
        channels = channels_first(layer, values)
        self._add(layer, "positions", torch.tensor(channels.shape[1]))
        if "activation_zeros" in self.names:
            self._add(layer, "zeros", (channels == 0).sum(1))
        if "activation_mean" in self.names:
            self._add(layer, "magnitude", channels.abs().sum(1, dtype=torch.float64))
        if self.names & {"output_mean", "output_covariance"}:
            self._see_moments(layer, channels)

    def _see_moments(self, layer: Layer, channels: Tensor) -> None:
        """Add first and second moments about the mean of what came first, so that large means cancel no digits."""
        shift = self.sums.setdefault((layer.name, "shift"), channels.mean(1, keepdim=True, dtype=torch.float64))
        for part in torch.split(channels, max(1, CHUNK // len(channels)), dim=1):
            centred = part.double() - shift
            self._add(layer, "first", centred.sum(1))
            if "output_covariance" in self.names and "output_covariance" not in self.lacking[layer.name]:
                self._add(layer, "second", centred @ centred.T)

    def _add(self, layer: Layer, what: str, value: Tensor) -> None:
        key = (layer.name, what)
        self.sums[key] = self.sums[key] + value if key in self.sums else value

    def of(self, layer: Layer) -> dict[str, Tensor]:
        """Return what was asked for of `layer`, as far as it can be had."""
        sums = {what: value for (name, what), value in self.sums.items() if name == layer.name}
        found: dict[str, Tensor] = {}
        if "squares" in sums:
            found["input_norm"] = sums["squares"].sqrt().float()
        if "gram" in sums:
            found["inputs_gram"] = sums["gram"] / self.n
        if "zeros" in sums:
            found["activation_zeros"] = sums["zeros"] / sums["positions"]
        if "magnitude" in sums:
            found["activation_mean"] = (sums["magnitude"] / sums["positions"]).float()
        if "output_mean" in self.names and "first" in sums:
            found["output_mean"] = sums["shift"][:, 0] + sums["first"] / sums["positions"]
        if "second" in sums:
            first = sums["first"] / sums["positions"]
            found["output_covariance"] = sums["second"] / sums["positions"] - torch.outer(first, first)
        return found


def channels_first(layer: Layer, values: Tensor) -> Tensor:
    """Return the output of `layer` as (out, examples and positions)."""
    return values.movedim(1 if layer.kind.startswith("conv") else -1, 0).flatten(1)
