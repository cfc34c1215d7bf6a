"""From a graph of ONNX to a module: node after node, each tried at once on tensors that have shapes alone.

So the shape of every value is known when its readers are built: branches on sizes are decided, and a batch that the
exporter wrote into a Reshape is found.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from pruning_core.errors import PruningError
from pruning_core.onnx_import.batch import Batch
from pruning_core.onnx_import.gates import as_layer, is_plain, note_zeros
from pruning_core.onnx_import.linear import Prepared, prepared, with_bias
from pruning_core.onnx_import.module import Argument, OnnxModel, Slot, Step, compute
from pruning_core.onnx_import.operators.creation import MOST_ELEMENTS, MOST_VALUES, check_size
from pruning_core.onnx_import.table import ON_NUMBERS, OPERATORS, Node, key
from pruning_core.onnx_import.types import NARROW, attributes_of, constant_of, scope_of, tensor_of
from pruning_core.onnx_import.values import (
    MOST_NUMBERS,
    Known,
    Unsupported,
    Value,
    first_line,
    known_of,
    tensor,
)
from pruning_core.onnx_import.weights import Constants
from pruning_core.refusals import refused


class Builder:
    """One graph on its way to a module."""

    def __init__(self, opsets: Mapping[str, int], batch: Batch) -> None:
        self.opsets, self.batch, self.module = opsets, batch, OnnxModel()
        self.constants = Constants(self.module)
        self.values: dict[str, Value] = {}  # on shapes alone
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.uses: Counter[str] = Counter()
        self.readers: dict[str, onnx.NodeProto] = {}  # the last node that reads a value
        self.aliases: dict[str, str] = {}  # value -> the value that stands for it
        self.absorbed: set[str] = set()  # values that an earlier step has computed
        self.zeros: set[str] = set()  # values that are zero everywhere
        self.dequantised = 0

    def build(self, graph: onnx.GraphProto, examples: Sequence[Tensor]) -> OnnxModel:
        """Return the module of a graph; `examples` have the types and shapes of its inputs."""
        self._count(graph)
        self._constants(graph)
        stored = {initializer.name for initializer in graph.initializer}
        entries = [entry for entry in graph.input if entry.name not in stored]
        with self.mode, torch.no_grad():
            for entry, example in zip(entries, examples, strict=True):
                self.values[entry.name] = torch.empty(example.shape, dtype=example.dtype)
                self.module.entries.append((entry.name, example.dtype))
            self.batch.enter({entry.name: self.values[entry.name] for entry in entries})
        self.add_all(graph.node)
        self.module.results = [self._result(output.name) for output in graph.output]
        self.module.tidy()
        return self.module.eval()

    def _count(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for name in node.input:
                self.uses[name] += 1
                self.readers[name] = node
        self.uses.update(output.name for output in graph.output)

    def _constants(self, graph: onnx.GraphProto) -> None:
        """Read the initializers that some node reads."""
        for initializer in graph.initializer:
            if not self.uses[initializer.name]:
                continue
            try:
                self.constants.add(initializer.name, tensor_of(initializer))
            except (Unsupported, ValueError, TypeError) as error:
                raise refused("E232", f"the initializer '{initializer.name}' cannot be read: {error}") from None
            if initializer.data_type in NARROW:
                self.constants.narrow.add(initializer.name)

    # ------------------------------------------------------------ nodes
    def add_all(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Add nodes in order; one that cannot be is named."""
        for proto in nodes:
            if self.absorbed.intersection(proto.output):
                continue
            try:
                self._add(proto)
            except PruningError:
                raise
            except DataDependentOutputException:
                raise self._refused(proto, "it needs a number that is computed from the values of the input") from None
            except Exception as error:  # whatever torch raises: the sentence names the node
                raise self._refused(proto, first_line(error)) from None

    def _refused(self, proto: onnx.NodeProto, why: str) -> PruningError:
        name = proto.name or (proto.output[0] if proto.output else "")
        operator = key(proto.domain, proto.op_type)
        return refused("E230", f"the ONNX operator {operator} (node '{name}') cannot be imported: {why}")

    def _add(self, proto: onnx.NodeProto) -> None:
        name = key(proto.domain, proto.op_type)
        if name == "If":
            return self._branch(proto)
        node = Node(
            name,
            proto.name or proto.output[0],
            self.opsets.get("" if proto.domain == "ai.onnx" else proto.domain, 1),
            len(proto.output),
            attributes_of(proto),
            scope_of(proto),
        )
        inputs = tuple(self.aliases.get(entry, entry) for entry in proto.input)
        if self.constants.narrow.intersection(inputs) and name != "DequantizeLinear":
            raise Unsupported("numbers of 4 bits, and floating point of 8, are read only where they are dequantised")
        if name == "Constant":
            return self.constants.add(proto.output[0], constant_of(node.attributes))
        if all(entry == "" or entry in self.constants for entry in inputs):
            return self._fold(node, inputs, proto.output)
        outputs = tuple(proto.output)
        note_zeros(self.zeros, node, inputs, outputs, self.constants)
        if is_plain(node, inputs, self.constants):
            inputs = tuple("" if name in self.zeros else name for name in inputs)  # torch's layers start from zero
            node, names, weights = as_layer(node, inputs, self.constants)
            return self._step(node, (*self._arguments(node, names, None)[1], *weights), outputs)
        form = prepared(node, inputs, self.constants)
        if form is not None:
            form, outputs = self._with_addition(form, outputs)
        return self._step(*self._arguments(node, inputs, form), outputs)

    def _branch(self, proto: onnx.NodeProto) -> None:
        condition = self.values.get(proto.input[0], self.constants.tensors.get(proto.input[0]))
        if isinstance(condition, Known):
            taken = bool(condition.array.item())
        elif isinstance(condition, Tensor) and proto.input[0] in self.constants:
            taken = bool(condition)
        else:
            raise Unsupported("its condition is computed from the values of the input")
        wanted = "then_branch" if taken else "else_branch"
        (graph,) = (attribute.g for attribute in proto.attribute if attribute.name == wanted)
        self._count(graph)
        self._constants(graph)
        self.add_all(graph.node)
        for outer, inner in zip(proto.output, graph.output, strict=True):
            self._step_of_identity(inner.name, outer)

    def _step_of_identity(self, source: str, target: str) -> None:
        if source in self.constants:
            self.constants.add(target, self.constants[source], self.constants.origins[source])
        else:
            self.aliases[target] = self.aliases.get(source, source)

    def _fold(self, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        entry = OPERATORS.get(node.operator)
        positions = entry.known if entry else ()
        values = [
            None if not name else known_of(self.constants[name]) if i in positions else self.constants[name]
            for i, name in enumerate(inputs)
        ]
        with torch.no_grad():
            self._check_sizes(node, values)
            results = [tensor(value) for value in compute(node, values)]
        origin = next((self.constants.origins[name] for name in inputs if name), None)
        self.dequantised += node.operator == "DequantizeLinear"
        for name, result in zip(outputs, results, strict=False):
            self.constants.add(name, result, origin)

    def _check_sizes(self, node: Node, values: Sequence[Value]) -> None:
        """Refuse a constant that would fill the memory before it is made."""
        results: Sequence[Value] = ()
        with self.mode, contextlib.suppress(Exception):  # what is wrong is said when it is computed
            results = compute(node, list(values))
        check_size(results, MOST_ELEMENTS)

    # ------------------------------------------------------------ steps
    def _with_addition(self, form: Prepared, outputs: tuple[str, ...]) -> tuple[Prepared, tuple[str, ...]]:
        """Take the bias from an Add that alone reads a product."""
        reader = self.readers.get(outputs[0])
        if form.node.operator != "Linear" or self.uses[outputs[0]] != 1 or reader is None or reader.op_type != "Add":
            return form, outputs
        others = [name for name in reader.input if name != outputs[0]]
        if len(others) != 1 or others[0] not in self.constants:
            return form, outputs
        fused = with_bias(form, others[0], self.constants)
        if fused is None:
            return form, outputs
        self.absorbed.add(reader.output[0])
        return fused, tuple(reader.output)

    def _arguments(
        self, node: Node, inputs: tuple[str, ...], form: Prepared | None
    ) -> tuple[Node, tuple[Argument, ...]]:
        if form is not None:
            node, inputs = form.node, form.inputs
        entry = OPERATORS.get(node.operator)
        if entry is None:
            raise Unsupported("this operator is not supported")
        variable = [self.values[name] for name in inputs if name and name not in self.constants]
        on_numbers = node.operator in ON_NUMBERS and all(isinstance(value, Known) for value in variable)
        weight = form.weight if form else next((inputs[i] for i in sorted(entry.weights) if i < len(inputs)), "")
        bias = inputs[2] if len(inputs) > 2 and entry.weights.get(2) == "bias" else ""
        layer = self.constants.layer(node, weight, bias) if weight in self.constants else None
        found: list[Argument] = []
        for i, name in enumerate(inputs):
            if not name:
                found.append(None)
            elif name not in self.constants:
                found.append(Slot(name))
            elif i in entry.known or on_numbers or (entry.scalars and self.constants[name].numel() == 1):
                found.append(self._numbers(name))
            elif layer is not None and i in entry.weights:
                stored = form.weights.get(i, self.constants[name]) if form else self.constants[name]
                found.append(self.constants.store_weight(layer, entry.weights[i], stored))
            else:
                found.append(self.constants.store(name))
        return node, tuple(found)

    def _numbers(self, name: str) -> Known:
        constant = self.constants[name]
        if constant.numel() > MOST_NUMBERS:
            raise Unsupported(f"'{name}' holds {constant.numel():,} numbers; at most {MOST_NUMBERS:,} are taken here")
        return known_of(constant)

    def _step(self, node: Node, arguments: tuple[Argument, ...], outputs: tuple[str, ...]) -> None:
        values = [self.module.value(argument, self.values) for argument in arguments]
        with self.mode, torch.no_grad():
            arguments = self.batch.mended(node, arguments, values, self.module)
            results = compute(node, [self.module.value(argument, self.values) for argument in arguments])
            check_size(results, MOST_VALUES)
            self.batch.follow(node, outputs, values, results)
        for name, result in zip(outputs, results, strict=False):
            if name:
                self.values[name] = result
        self.module.steps.append(Step(node, arguments, outputs))

    def _result(self, name: str) -> Argument:
        name = self.aliases.get(name, name)
        if name in self.constants:
            return self.constants.store(name)
        if name not in self.values:
            raise refused("E232", f"the output '{name}' is computed by no node of the ONNX graph")
        return Slot(name)
