"""One pass over the calibration data collects whatever was asked for of every layer.

The traced graph is run node by node; what a layer reads and what leaves it is observed on the way. Parameters are
replaced by detached aliases, so nothing of the model changes. Where single examples are asked about, they are run
one by one, since an operator in the middle of a graph need not have its examples along the first axis.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pruning_core.criteria.meaning import lacks
from pruning_core.criteria.seam import STATISTICS, WITH_TARGETS, WITHOUT_DATA, LayerStatistics
from pruning_core.data import EvalData, Inputs, check_fits
from pruning_core.errors import Cancelled, DataError, UnknownName
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at
from pruning_core.registry import suggestion
from pruning_core.statistics.ablation import Ablation
from pruning_core.statistics.gradients import Gradients, loss_of
from pruning_core.statistics.observer import Observer

ONE_BY_ONE = frozenset({"gradient_square", "activation_gradient"})


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
    collection = _Collection(graph, chosen, wanted, cancelled or (lambda: False))
    if wanted - WITHOUT_DATA:
        if data is None:
            raise DataError(f"{', '.join(sorted(wanted - WITHOUT_DATA))} cannot be collected without data")
        collection.run(data.take(n), batch_size)
    return {layer.name: collection.of(layer) for layer in chosen}


def _checked(names: Iterable[str]) -> frozenset[str]:
    for name in (wanted := frozenset(names)):
        if name not in STATISTICS:
            raise UnknownName(f"unknown statistic '{name}'; {suggestion(name, STATISTICS)}")
    return wanted


def _check_data(data: EvalData, graph: ModelGraph, with_loss: bool) -> None:
    scores = len(graph.output_shape) == 1 or data.is_regression
    if with_loss and (data.targets is None or not scores):
        missing = "has no targets" if data.targets is None else f"meets outputs of shape {graph.output_shape}"
        raise DataError(f"data '{data.name}' {missing}; gradients need class scores and targets")
    check_fits(data if with_loss else replace(data, targets=None), graph)


@dataclass
class _Collection:
    """The parts that collect, and how far they are."""

    graph: ModelGraph
    layers: tuple[Layer, ...]
    names: frozenset[str]
    cancelled: Callable[[], bool]
    n: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.gradients = Gradients(self.graph, self.layers, self.names)
        self.observer = Observer(self.graph, self.layers, self.names, self.gradients)
        ablated = [layer for layer in self.layers if "ablation" in self.names and "ablation" not in lacks(layer)]
        self.ablation = Ablation(self.graph, ablated)

    def run(self, data: EvalData, batch_size: int) -> None:
        """Run all examples, in batches or one by one."""
        _check_data(data, self.graph, bool(self.names & WITH_TARGETS))
        self.total = len(data)
        part = 1 if self.names & ONE_BY_ONE else batch_size
        for inputs, targets in data.batches(batch_size):
            size = len(inputs[0])
            for start in range(0, size, part):
                few = slice(start, start + part)
                self._check_cancelled()
                some = tuple(values[few] for values in inputs)
                self._observe(some, None if targets is None else targets[few])
                self.n += len(some[0])
            self.gradients.end_batch(size)
            if targets is not None:
                self.ablation.see(inputs, targets, self._check_cancelled)

    def _check_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled(f"stopped after {self.n} of {self.total} calibration examples")

    def _observe(self, inputs: Inputs, targets: Tensor | None) -> None:
        if not self.names - WITHOUT_DATA - {"ablation"}:
            return
        with torch.set_grad_enabled(self.gradients.wanted):
            output = self.observer.run(*inputs)
            if self.gradients.wanted and targets is not None:
                self.gradients.see(loss_of(output, targets))

    def of(self, layer: Layer) -> LayerStatistics:
        """Return what was asked for of `layer`; NaN and infinite values are refused."""
        found = self.observer.of(layer) | self.gradients.of(layer, self.n) | self.ablation.of(layer, self.n)
        if "bn_scale" in self.names and layer.batch_norm and "bn_scale" not in lacks(layer):
            found["bn_scale"] = tensor_at(self.graph.module, layer.batch_norm).detach().clone()
        for name, value in found.items():
            if not torch.isfinite(value).all():
                raise DataError(f"{layer.name}: {name} is NaN or infinite; the model overflows on the calibration data")
        return LayerStatistics(layer.name, **found, n=self.n, why_not=lacks(layer))
