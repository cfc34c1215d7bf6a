"""One calibration pass: input norms, gradients and activations of every layer, whatever was asked for, computed once.

The traced graph is run node by node; what a layer reads and what leaves it is observed on the way. Parameters are
replaced by detached aliases, so nothing of the model changes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from pruning_core.columns import column_squares
from pruning_core.criteria.seam import STATISTICS, LayerStatistics
from pruning_core.data import EvalData, check_fits
from pruning_core.errors import Cancelled, DataError, UnknownName
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at
from pruning_core.registry import suggestion

__all__ = ["LayerStatistics", "collect"]

ACTIVATIONS = frozenset({"activation_zeros", "activation_mean"})


def collect(
    graph: ModelGraph,
    data: EvalData | None,
    names: Iterable[str],
    layers: Iterable[str] | None = None,
    n: int = 512,
    batch_size: int = 64,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, LayerStatistics]:
    """Return the statistics `names` of `layers` (all when None) over `n` examples, in one pass over the data."""
    wanted = _checked(names)
    chosen = graph.layers if layers is None else tuple(graph.layer(name) for name in layers)
    observer = _Observer(graph, chosen, wanted)
    if wanted - {"bn_scale"}:
        if data is None:
            raise DataError(f"{', '.join(sorted(wanted - {'bn_scale'}))} cannot be collected without data")
        _run(observer, graph, data.take(n), batch_size, cancelled or (lambda: False))
    return {layer.name: observer.statistics(layer) for layer in chosen}


def _checked(names: Iterable[str]) -> frozenset[str]:
    for name in (wanted := frozenset(names)):
        if name not in STATISTICS:
            raise UnknownName(f"unknown statistic '{name}'; {suggestion(name, STATISTICS)}")
    return wanted


def _run(
    observer: "_Observer", graph: ModelGraph, data: EvalData, batch_size: int, cancelled: Callable[[], bool]
) -> None:
    with_loss = "gradient" in observer.names
    if with_loss and (data.targets is None or len(graph.output_shape) != 1):
        missing = "has no targets" if data.targets is None else f"meets outputs of shape {graph.output_shape}"
        raise DataError(f"data '{data.name}' {missing}; gradients need class scores and targets")
    check_fits(data if with_loss else replace(data, targets=None), graph.input_shapes[0], graph.output_shape[-1])
    for inputs, targets in data.batches(batch_size):
        if cancelled():
            raise Cancelled(f"stopped after {observer.n} of {len(data)} calibration examples")
        with torch.set_grad_enabled(with_loss):
            output = _first(observer.run(inputs))
        if targets is not None and output.requires_grad:
            loss = F.cross_entropy(output, targets, reduction="sum") / len(data)
            torch.autograd.backward(loss)  # adds to the gradients of the aliases
        observer.n += len(inputs)


def _first(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return tensor


def _storage(weight: Tensor) -> tuple[int, tuple[int, ...]]:
    """Return what tied parameters have in common."""
    return weight.data_ptr(), tuple(weight.shape)


class _Observer(fx.Interpreter):
    """Runs the graph and adds up what the layers read and give."""

    def __init__(self, graph: ModelGraph, layers: Sequence[Layer], names: frozenset[str]) -> None:
        super().__init__(graph.module)
        self.names, self.n = names, 0
        self.readers = {node: layer for layer in layers for node in layer.nodes} if "input_norm" in names else {}
        self.givers = {layer.activation: layer for layer in layers} if names & ACTIVATIONS else {}
        self.aliases = {_storage(weight): weight for weight in map(self._alias, layers)} if "gradient" in names else {}
        self.sums: dict[tuple[str, str], Tensor] = {}

    def _alias(self, layer: Layer) -> Tensor:
        return tensor_at(self.module, layer.parameter).detach().requires_grad_()

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Return the alias of a parameter: tied names share one, so that their gradients add up."""
        value = super().get_attr(target, args, kwargs)
        return self.aliases.get(_storage(value), value.detach()) if isinstance(value, Tensor) else value

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; observe what its layer reads and gives."""
        if n in self.readers:
            layer = self.readers[n]
            self._add(layer, "squares", column_squares(n, layer, self.fetch_args_kwargs_from_env(n)[0]))
        result = super().run_node(n)
        if n in self.givers:
            self._see_activation(self.givers[n], _first(result).detach())
        return result

    def _see_activation(self, layer: Layer, values: Tensor) -> None:
        channels = values.movedim(1 if layer.kind.startswith("conv") else -1, 0).flatten(1)  # (out, all the rest)
        self._add(layer, "zeros", (channels == 0).sum(1))
        self._add(layer, "magnitude", channels.abs().sum(1, dtype=torch.float64))
        self._add(layer, "positions", torch.tensor(channels.shape[1]))

    def _add(self, layer: Layer, what: str, value: Tensor) -> None:
        key = (layer.name, what)
        self.sums[key] = self.sums[key] + value if key in self.sums else value

    def statistics(self, layer: Layer) -> LayerStatistics:
        """Return what was asked for of `layer`."""
        found = {name: getattr(self, f"_{name}")(layer) for name in self.names}
        return LayerStatistics(layer.name, **found, n=self.n)

    def _input_norm(self, layer: Layer) -> Tensor | None:
        return self.sums[layer.name, "squares"].sqrt().float()

    def _gradient(self, layer: Layer) -> Tensor | None:
        alias = self.aliases[_storage(tensor_at(self.module, layer.parameter))]
        return layer.canonical(torch.zeros_like(alias) if alias.grad is None else alias.grad).detach()

    def _activation_zeros(self, layer: Layer) -> Tensor | None:
        return self.sums[layer.name, "zeros"] / self.sums[layer.name, "positions"]

    def _activation_mean(self, layer: Layer) -> Tensor | None:
        return (self.sums[layer.name, "magnitude"] / self.sums[layer.name, "positions"]).float()

    def _bn_scale(self, layer: Layer) -> Tensor | None:
        return tensor_at(self.module, layer.batch_norm).detach().clone() if layer.batch_norm else None
