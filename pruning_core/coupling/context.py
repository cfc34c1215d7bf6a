"""What the rules share: labels of values and stored tensors, and the ways in which operands meet."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, fx

from pruning_core.coupling.labels import no_channels, stored, varying_dims
from pruning_core.coupling.stored import StoredTensors
from pruning_core.coupling.zeros import packet
from pruning_core.graph import TRACE_BATCH


@dataclass(frozen=True)
class Options:
    """What a plan decides about the coupling."""

    through_norms: bool = False  # the width of a residual stream may shrink: norms take their statistic of the rest
    heads: Literal["head", "dimension"] = "head"  # dimension: the same dimensions inside all heads


@dataclass(frozen=True)
class Grouped:
    """A grouped convolution, settled when all other unions are known."""

    entering: Tensor  # (..., groups, channels)
    leaving: Tensor  # (groups, outputs)
    weight: fx.Node
    inputs_dim: int | None  # the stored dimension that counts the inputs of one group
    outputs_dim: int | None  # the stored dimension that counts the outputs of one group


class Context:
    """The state of one run on labels."""

    def __init__(self, tensors: StoredTensors, options: Options) -> None:
        self.tensors, self.options, self.labels = tensors, options, tensors.labels
        self.values: dict[fx.Node, Any] = {}  # labels, number, or tuple of these
        self.real: dict[fx.Node, Any] = {}  # values that depend on no input
        self.zero_when_dead: set[fx.Node] = set()
        self.leaving: dict[str, Tensor] = {}  # weight of a grouped transposed convolution -> labels of its outputs
        self.heads: list[Tensor] = []
        self.grouped: list[Grouped] = []
        self.boxes: list[Tensor] = []  # more labels that must stay rectangular
        self.statistics: list[tuple[fx.Node, Tensor, list[int]]] = []
        self.deferred: list[tuple[Tensor, Tensor, fx.Node]] = []
        self.constant_dims: list[tuple[Tensor, list[int], str]] = []
        self.unknown_operators: dict[str, int] = {}

    # ------------------------------------------------------------ values and shapes
    def value(self, argument: Any) -> Any:
        """Return an argument with every node replaced by its labels or number."""
        return fx.node.map_arg(argument, self._value)

    def _value(self, node: fx.Node) -> Any:
        if node.op == "get_attr" and node not in self.values:
            self.values[node] = self.tensors.elements(node)
        return self.values[node]

    def roots(self, labels: Tensor) -> Tensor:
        """Return the present roots."""
        return self.labels.roots(labels)

    def shape(self, node: fx.Node) -> list[int]:
        """Return the shape of the (first) result at the traced batch."""
        value = node.meta["val"]
        return self.shape_of(value[0] if isinstance(value, (tuple, list)) else value)

    def shape_of(self, value: Tensor) -> list[int]:
        """Return the shape of an example value, sizes that depend on the batch taken at the traced batch."""
        return [size if isinstance(size, int) else size.node.hint or TRACE_BATCH for size in value.shape]

    def where(self, node: fx.Node) -> str:
        """Name an operator for a reader, with the module it belongs to."""
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path = str(stack[-1][0]) if stack else ""
        name = packet(node) or f"{node.op} {node.target}"
        return f"{name} in '{path}'" if path and path != "L['self']" else name

    # ------------------------------------------------------------ stored tensors
    def is_weight(self, node: Any) -> bool:
        """Whether an argument is a stored tensor of channels."""
        return self.tensors.is_stored(node)

    def slots(self, node: fx.Node, dim: int) -> Tensor:
        """Return the labels of the indices of a stored dimension."""
        return self.tensors.slots(node, dim)

    def name_of(self, node: fx.Node) -> str:
        """Return the dotted name of a stored tensor; tied weights have one."""
        return self.tensors.name(node)

    def linear(self, node: fx.Node, x: Tensor, weight: Any, bias: Tensor | None, in_dim: int) -> Tensor:
        """Labels of a product with a stored matrix over the last dimension of `x`."""
        entering, leaving = self.slots(weight, in_dim), self.slots(weight, 1 - in_dim)
        self.unite(x, entering, node)
        if bias is not None:
            self.unite(leaving, bias, node)
        return leaving.expand([*x.shape[:-1], len(leaving)])

    # ------------------------------------------------------------ what is bound or frozen
    def unite(self, a: Tensor, b: Tensor, node: fx.Node) -> None:
        """Join two label tensors element by element."""
        self.labels.unite(a, b, f"{self.where(node)} meets data without channels, such as the model's input")

    def must_stay_constant(self, node: fx.Node, labels: Tensor, dims: Iterable[int]) -> None:
        """Check when all unions are known: this operator cannot follow a cut along these dimensions."""
        if varying_dims(self.roots(labels)):
            reason = f"{self.where(node)} works along this dimension"
            self.constant_dims.append((labels, list(dims), reason))

    def unknown(self, node: fx.Node, why: str = "no rule for this operator") -> Any:
        """Assume nothing: every channel that reaches it stays, and its result carries none."""
        seen = False
        for source in node.all_input_nodes:
            for labels in tensors_in(self.values.get(source)):
                if stored(self.roots(labels)).any():
                    self.labels.freeze(labels, f"reaches {self.where(node)}: {why}")
                    seen = True
            if source.op == "get_attr":
                seen |= self._freeze_stored(source, f"is used by {self.where(node)}: {why}")
        if seen:
            key = f"{packet(node) or node.target}: {why}"
            self.unknown_operators[key] = self.unknown_operators.get(key, 0) + 1
        return map_tensors(node.meta.get("val"), lambda value: no_channels(self.shape_of(value)))

    def _freeze_stored(self, source: fx.Node, reason: str) -> bool:
        if not self.is_weight(source):
            return not self.tensors.is_tensor(source)  # a nested graph: nothing inside can be cut
        for dim in range(self.tensors.tensor(source).dim()):
            self.labels.freeze(self.slots(source, dim), reason)
        return True


def tensors_in(value: Any) -> Iterable[Tensor]:
    """Iterate over the tensors in nested tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)


def map_tensors(value: Any, function: Any) -> Any:
    """Apply `function` to the tensors in nested tuples."""
    if isinstance(value, (tuple, list)):
        return tuple(map_tensors(item, function) for item in value)
    return function(value) if isinstance(value, Tensor) else value
