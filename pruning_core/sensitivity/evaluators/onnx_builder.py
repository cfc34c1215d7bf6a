"""`Builder`: an ONNX graph that grows node by node beside a torch.fx graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, fx

from pruning_core.layers import operator
from pruning_core.sensitivity.evaluators.seam import CannotRun

OPSET = 21
Result = str | tuple[str, ...]


class Builder:
    """Names of ONNX values by node of the fx graph; `constants` are tensors that stand in the model."""

    def __init__(self, constants: Mapping[fx.Node, Tensor]) -> None:
        self._constants = constants
        self.results: dict[fx.Node, Result] = {}
        self.inputs: list[Any] = []
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def add_input(self, name: str, dtype: Any, rank: int) -> str:
        """Let the graph read a tensor of free sizes."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, [f"{name}_{dim}" for dim in range(rank)]))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        return self.ops(1, kind, *inputs, **attributes)[0]

    def ops(self, outputs: int, kind: str, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Add a node and return the names of its outputs."""
        names = [f"{kind}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return tuple(names)

    def array(self, values: NDArray[Any]) -> str:
        """Return the name of a constant."""
        name = f"constant_{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        return name

    def ints(self, values: Sequence[int]) -> str:
        """Return the name of whole numbers (n,)."""
        return self.array(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Return the name of a scalar of 32 bits."""
        return self.array(np.array(value, np.float32))

    def constant(self, node: fx.Node) -> Tensor | None:
        """Return the tensor of a node that is constant."""
        return self._constants.get(node)

    def value(self, node: Any) -> str:
        """Return the name of a node's tensor."""
        if not isinstance(node, fx.Node):
            raise CannotRun(f"{node!r} stands where a tensor is expected")
        if node not in self.results and node in self._constants:
            self.results[node] = self.array(self._constants[node].contiguous().numpy())
        result = self.results[node]
        if not isinstance(result, str):
            raise CannotRun(f"'{node.name}' is not one tensor")
        return result

    def shape(self, sizes: Sequence[Any]) -> str:
        """Return the name of a shape; where one size follows from the others it is left to ONNX."""
        if sum(isinstance(size, fx.Node) or size == -1 for size in sizes) <= 1:
            return self.ints([-1 if isinstance(size, fx.Node) else int(size) for size in sizes])
        return self.op("Concat", *[self.size(size) for size in sizes], axis=0)

    def size(self, size: Any) -> str:
        """Return the name of one whole number (1,)."""
        return self.value(size) if isinstance(size, fx.Node) else self.ints([int(size)])

    def model(self, output: str) -> bytes:
        """Return the serialised model, whose one output is `output`."""
        result = self.op("Identity", output)
        ends = [helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None)]
        graph = helper.make_graph(self._nodes, "suffix", self.inputs, ends, list(self._initializers.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


Translation = Callable[[Builder, fx.Node, dict[str, Any]], Result]
TRANSLATIONS: dict[str, Translation] = {}  # by operator


def translates(*operators: str) -> Callable[[Translation], Translation]:
    """Register how operators are written in ONNX."""

    def add(translation: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(operators, translation))
        return translation

    return add


def rank(node: Any) -> int:
    """Return how many dimensions a node's tensor has."""
    return int(node.meta["val"].dim())


def arguments(node: fx.Node) -> dict[str, Any]:
    """Return all arguments of a node by name, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # a function of Python, whose arguments have no names
        return dict(node.kwargs)
    given: dict[str, Any] = {argument.name: argument.default_value for argument in schema.arguments}
    given |= {argument.name: value for argument, value in zip(schema.arguments, node.args, strict=False)}
    return {**given, **node.kwargs}


def translate(builder: Builder, node: fx.Node) -> None:
    """Write one node in ONNX."""
    if operator(node) not in TRANSLATIONS:
        raise CannotRun(f"'{operator(node)}' is not written in ONNX")
    builder.results[node] = TRANSLATIONS[operator(node)](builder, node, arguments(node))
