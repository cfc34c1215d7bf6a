"""Layers with what follows them in one call: convolution or linear, then a sum, then an activation.

oneDNN's own operators of torch (`torch.ops.mkldnn`, which torch's compiler uses) take a weight that is packed once and
do the rest before a result leaves the processor's cache. They are no public interface, so `is_available` asks first.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.layers import operator
from pruning_core.sensitivity.evaluators.onnx_builder import arguments
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.steps import Values

Call = Callable[[Values], Any]
Unary = tuple[str, list[float], str]  # oneDNN's name of an activation, its numbers, its way of computing
_NONE: Unary = ("none", [], "")


def _named(name: str) -> Callable[[dict[str, Any]], Unary]:
    return lambda a: (name, [], "")


_ACTIVATIONS: dict[str, Callable[[dict[str, Any]], Unary]] = {
    **{f"aten.{name}.default": _named(name) for name in "relu sigmoid tanh hardswish hardsigmoid".split()},
    "aten.silu.default": _named("swish"),
    "aten.gelu.default": lambda a: ("gelu", [], str(a["approximate"])),
    "aten.hardtanh.default": lambda a: ("hardtanh", [float(a["min_val"]), float(a["max_val"])], ""),
    "aten.leaky_relu.default": lambda a: ("leaky_relu", [float(a["negative_slope"])], ""),
}
_OPERATORS = ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight", "_reorder_linear_weight")


def is_available() -> bool:
    """Whether this build of torch has the operators."""
    known = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return known and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)


@dataclass(frozen=True)
class Fused:
    """One call that stands for the steps of a layer, its sum and its activation; its result is that of the last."""

    run: Call
    inputs: tuple[int, ...]
    result: int
    steps: tuple[int, ...]

    @staticmethod
    def plain(replay: Replay, i: int) -> "Fused":
        """Return one step as it is."""
        return Fused(replay.steps[i].run, replay.steps[i].inputs, i, (i,))


@dataclass(frozen=True)
class More:
    """What goes with a layer: the place of what is added to its result, an activation, and the last of these steps."""

    added: int | None
    unary: Unary
    last: int


class Fusion:
    """Finds what can be fused in the graph of a replay; weights are packed when first needed.

    `constants` are those of the replay, or the same in another type.
    """

    def __init__(self, replay: Replay, constants: Values) -> None:
        self.replay, self.constants = replay, constants
        self._index = {node: i for i, node in enumerate(replay.nodes)}
        self._packed: dict[int, Tensor] = {}

    def of(self, steps: Iterable[int]) -> list[Fused]:
        """Return the calls for some steps in their order; the last one may take in steps that follow."""
        taken, found = set[int](), list[Fused]()
        for i in steps:
            if i not in taken:
                found.append(self._layer(i) or Fused.plain(self.replay, i))
                taken.update(found[-1].steps)
        return found

    def _through(self, first: int, last: int) -> tuple[int, ...]:
        """Return the steps from a layer to the last one that is fused with it."""
        steps = [first]
        while steps[-1] != last:
            steps.append(self._only_user(steps[-1]) or last)
        return tuple(steps)

    def _only_user(self, i: int) -> int | None:
        users = [user for user in self.replay.nodes[i].users if self._index[user] in self.replay.steps]
        return self._index[users[0]] if len(users) == 1 and i != self.replay.output else None

    def _layer(self, i: int) -> Fused | None:
        node = self.replay.nodes[i]
        make, inputs = _LAYERS.get(operator(node)), self.replay.steps[i].inputs
        if make is None or len(inputs) < 2 or not _fits(self.constants.get(inputs[1])):
            return None
        return make(self, node, self._more(i, _AFTER_SUM[operator(node)]))

    def fused(self, node: fx.Node, more: "More", pack: Callable[[Tensor], Tensor], run: Callable[..., Any]) -> Fused:
        """Return the call of a layer, which packs the dense weight once and takes any other as it is."""
        x, w, *bias = self.replay.steps[self._index[node]].inputs
        dense = self.constants[w]

        def call(values: Values) -> Any:
            weight = values[w]
            if weight is dense:
                weight = self._packed[w] = self._packed[w] if w in self._packed else pack(dense)
            added = None if more.added is None else values[more.added]
            return run(values[x], weight, values[bias[0]] if bias else None, added)

        inputs = (x, w, *bias, *([] if more.added is None else [more.added]))
        return Fused(call, inputs, more.last, self._through(self._index[node], more.last))

    def _more(self, i: int, after_sum: tuple[str, ...]) -> "More":
        """Return what goes with a layer; behind a sum only some activations do."""
        added, last = self._sum(i)
        unary, after = self._activation(last)
        return (
            More(added, _NONE, last) if added is not None and unary[0] not in after_sum else More(added, unary, after)
        )

    def _sum(self, i: int) -> tuple[int | None, int]:
        """Return what is added to a layer's result, if it is there by then, and the last step so far."""
        user = self._only_user(i)
        if user is None or operator(self.replay.nodes[user]) != "aten.add.Tensor":
            return None, i
        others = [j for j in self.replay.steps[user].inputs if j != i]
        same = len(others) == 1 and _shape(self.replay.nodes[others[0]]) == _shape(self.replay.nodes[i])
        return (others[0], user) if same and others[0] < i and not self.replay.nodes[user].kwargs else (None, i)

    def _activation(self, i: int) -> tuple[Unary, int]:
        user = self._only_user(i)
        if user is None or (known := _ACTIVATIONS.get(operator(self.replay.nodes[user]))) is None:
            return _NONE, i
        return known(arguments(self.replay.nodes[user])), user


def _convolution(fusion: Fusion, node: fx.Node, more: "More") -> Fused | None:
    a, shape = arguments(node), _shape(node.args[0])
    if shape[1] == 1:  # oneDNN would leave channels_last
        return None
    ops, sizes = torch.ops.mkldnn, [64, *(int(size) for size in shape[1:])]
    rest = (_pair(a["padding"]), _pair(a["stride"]), _pair(a["dilation"]), a["groups"])
    after = None if more.unary == _NONE else more.unary[0]

    def pack(weight: Tensor) -> Tensor:
        packed: Tensor = ops._reorder_convolution_weight(weight, *rest, sizes)
        return packed

    def run(x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None) -> Any:
        if added is None:
            return ops._convolution_pointwise(x, weight, bias, *rest, *more.unary)
        return ops._convolution_pointwise.binary(x, added, weight, bias, *rest, "add", 1.0, after, [], None)

    return fusion.fused(node, more, pack, run)


def _linear(fusion: Fusion, node: fx.Node, more: "More") -> Fused | None:
    ops = torch.ops.mkldnn

    def pack(weight: Tensor) -> Tensor:
        packed: Tensor = ops._reorder_linear_weight(weight)
        return packed

    def run(x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None) -> Any:
        if added is None:
            return ops._linear_pointwise(x, weight, bias, *more.unary)
        return ops._linear_pointwise.binary(x, added, weight, bias, "add")

    return fusion.fused(node, more, pack, run)


_LAYERS: dict[str, Callable[[Fusion, fx.Node, More], Fused | None]] = {
    "aten.conv2d.default": _convolution,
    "aten.linear.default": _linear,
}
_AFTER_SUM: dict[str, tuple[str, ...]] = {"aten.conv2d.default": ("relu",), "aten.linear.default": ()}


def _fits(weight: Tensor | None) -> bool:
    return weight is not None and weight.dtype in (torch.float32, torch.bfloat16)


def _pair(values: Any) -> list[int]:
    listed = [int(value) for value in values]
    return listed * 2 if len(listed) == 1 else listed


def _shape(node: Any) -> tuple[Any, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()
