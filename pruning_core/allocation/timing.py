"""Predicted latency: the dense model's measured time, less what each layer's operator saves at its smaller shape."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.apply import masks_for
from pruning_core.evaluate import IsCancelled
from pruning_core.latency import compare
from pruning_core.layers import WEIGHT_USES, Layer, operator, reads_in_out
from pruning_core.measure import latency_of
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Ranking

NANOSECONDS = 1e6  # in a millisecond
SECONDS = 0.2  # for one operator at one shape; compare takes at least six rounds
MODEL_SECONDS = 2.0

Sizes = tuple[int, int]  # outputs, inputs (of each group)


@dataclass(eq=False)
class Timings:
    """Times of operators alone, in torch, one thread, one example; each shape once, in turn with the dense one."""

    model: Model
    cancelled: IsCancelled = lambda: False
    _saved: dict[tuple[str, Sizes], int] = field(default_factory=dict)

    def predicted_ns(self, plan: Plan, ranking: Ranking) -> int:
        """Return the nanoseconds of one call of the whole model under `plan`."""
        layers = self.model.graph.by_name
        masks = {n: mask for n, mask in masks_for(self.model, plan, ranking=ranking).items() if n in layers}
        saved = sum(self.saved_ns(layers[name], kept_sizes(mask)) for name, mask in masks.items())
        return max(1, self.dense_ns - saved)

    @cached_property
    def dense_ns(self) -> int:
        """Nanoseconds of one call of the dense model."""
        inputs = tuple(example[:1] for example in self.model.example_inputs)
        found = latency_of(self.model, None, inputs, "torch", MODEL_SECONDS, self.cancelled)
        return round(found.dense_ms * NANOSECONDS)

    def saved_ns(self, layer: Layer, sizes: Sizes) -> int:
        """Return what all uses of a layer take less at `sizes`; never below zero: a smaller layer is not slower."""
        if sizes == layer.weight_shape[:2] or not all(operator(node) in WEIGHT_USES for node in layer.nodes):
            return 0
        if (key := (layer.name, sizes)) not in self._saved:
            self._saved[key] = max(0, sum(self._saved_by(layer, node, sizes) for node in layer.nodes))
        return self._saved[key]

    def _saved_by(self, layer: Layer, node: fx.Node, sizes: Sizes) -> int:
        whole: Sizes = (layer.weight_shape[0], layer.weight_shape[1])
        arms = [operator_call(self._shapes, layer, node, size) for size in (whole, sizes)]
        found = compare(arms[0], arms[1], runtime="torch", batch=1, seconds=SECONDS, cancelled=self.cancelled)
        return round(found.dense_ms * NANOSECONDS * (1 - found.ratio_to_dense))

    @cached_property
    def _shapes(self) -> dict[fx.Node, tuple[int, ...]]:
        recorder = _Shapes(self.model.graph.module)
        with torch.no_grad():
            recorder.run(*(example[:1] for example in self.model.example_inputs))
        return recorder.shapes


class _Shapes(fx.Interpreter):
    """Notes the shape of each node's output."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def kept_sizes(mask: Tensor) -> Sizes:
    """Return the outputs and the inputs that `mask` (out, in, *kernel) leaves; no fewer than one of each."""
    flat = mask.flatten(2) if mask.dim() > 2 else mask[:, :, None]
    any_kept = flat.any(2)
    return max(1, int(any_kept.any(1).sum())), max(1, int(any_kept.any(0).sum()))


def operator_call(
    shapes: dict[fx.Node, tuple[int, ...]], layer: Layer, node: fx.Node, sizes: Sizes
) -> Callable[[], object]:
    """Return a call of the operator at `node` with random numbers, as large as `sizes` says.

    A convolution in groups keeps as many groups as outputs remain whole groups of.
    """
    outputs, inputs = sizes
    groups = max(1, layer.groups * outputs // layer.weight_shape[0])
    outputs = outputs // groups * groups
    canonical = torch.randn(outputs, inputs, *layer.weight_shape[2:])
    is_convolution = layer.kind.startswith("conv")
    weight_at = WEIGHT_USES[operator(node)][0]
    arguments: list[Any] = [torch.randn(shapes[a]) if isinstance(a, fx.Node) else a for a in node.args]
    x_at = weight_at - 1
    shape = arguments[x_at].shape
    place = 1 if is_convolution else len(shape) - 1
    arguments[x_at] = torch.randn(*shape[:place], inputs * groups, *shape[place + 1 :])
    if is_convolution:
        small = replace(layer, groups=groups, weight_shape=tuple(canonical.shape))
        arguments[weight_at] = small.stored(canonical).contiguous()
        if len(arguments) > 6:
            arguments[6] = groups
    else:
        arguments[weight_at] = canonical.t().contiguous() if reads_in_out(node) else canonical
    for i, argument in enumerate(arguments):
        if i not in (x_at, weight_at) and isinstance(argument, Tensor):
            arguments[i] = torch.randn(outputs)  # the bias
    target: Any = node.target

    def call() -> object:
        with torch.inference_mode():
            return target(*arguments, **node.kwargs)

    return call
