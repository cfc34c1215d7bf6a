"""Graphs, nodes and attributes of an ONNX file. Fields: onnx.proto3."""

from collections import Counter
from dataclasses import dataclass, field

from pruning_core.guard import wire
from pruning_core.guard.limits import Limits
from pruning_core.guard.onnx_growth import GROWERS, Grower, check_growth
from pruning_core.guard.onnx_tensors import Tensor, read_tensor
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

LOOPS = ("Loop", "Scan", "SequenceMap")
Call = tuple[str, str, str]  # domain, operator, overload
NODE, INITIALIZER, VALUES, SPARSE = 1, 5, (11, 12, 13), 15  # fields of GraphProto; inputs, outputs, others
N_INPUT, N_OUTPUT, N_NAME, N_OP, N_ATTRIBUTE, N_DOMAIN, N_OVERLOAD = 1, 2, 3, 4, 5, 7, 8  # of NodeProto
A_NAME, A_INT, A_TENSOR, A_GRAPH, A_INTS, A_TENSORS, A_GRAPHS, A_SPARSE = 1, 3, 5, 6, 8, 10, 11, (22, 23)
F_NAME, F_NODE, F_DOMAIN, F_ATTRIBUTE, F_OVERLOAD = 1, 7, 10, 11, 13  # of FunctionProto


@dataclass
class Totals:
    """What is counted over the whole file."""

    limits: Limits
    nodes: int = 0
    names: int = 0
    numbers: int = 0

    def add_name(self, name: bytes) -> bytes:
        """Count a name and return it; one that is no text is refused."""
        self.names += 1
        if self.names > self.limits.names:
            raise self.limits.exceeded("E610", "names", "the model has too many names")
        self.limits.check("E618", "name_characters", len(name), "a name in the model has {} bytes")
        if not name.isascii():
            _text(name)
        return name

    def add_tensor(self, tensor: Tensor) -> Tensor:
        """Count a tensor and return it."""
        self.numbers += tensor.count
        self.limits.check("E612", "numbers", self.numbers, "the weights have {} numbers")
        return tensor


@dataclass
class Scope:
    """A graph with the graphs in it, or a function: what it calls, and what is known of its constants."""

    call: Call = ("", "", "")
    n_nodes: int = 0
    calls: Counter[Call] = field(default_factory=Counter)
    shapes: dict[bytes, list[int]] = field(default_factory=dict)  # constants of few whole numbers
    growers: list[Grower] = field(default_factory=list)


@dataclass
class Node:
    """What is read of one node."""

    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    name: bytes = b""
    op: str = ""
    domain: str = ""
    overload: str = ""
    value: list[int] = field(default_factory=list)  # of a Constant, or the shape that an attribute gives


def add_graph(data: wire.Wire, start: int, stop: int, totals: Totals, depth: int, outer: Scope | None = None) -> Scope:
    """Walk one graph; graphs in it count into the scope of the outermost."""
    totals.limits.check("E611", "nesting", depth, "graphs of the model are nested {} deep")
    scope = outer or Scope()
    outputs, initializers, node_names = set[bytes](), set[bytes](), set[bytes]()
    for number, kind, value, end in wire.fields(data, start, stop):
        if kind != wire.BYTES:
            continue
        if number == NODE:
            node = _add_node(data, value, end, totals, scope, depth)
            _once(outputs, [name for name in node.outputs if name], "makes")
            _once(node_names, [node.name] if node.name else [], "names a node")
        elif number == INITIALIZER:
            tensor = totals.add_tensor(read_tensor(data, value, end, totals.limits))
            _once(initializers, [totals.add_name(tensor.name)], "holds weight")
            scope.shapes[tensor.name] = tensor.small
        elif number in VALUES:
            _check_value(data, value, end, totals)
        elif number == SPARSE:
            raise refused("E223", "the model holds sparse weights")
    if outer is None:
        check_growth(scope.growers, scope.shapes, totals.limits)
    return scope


def add_function(data: wire.Wire, start: int, stop: int, totals: Totals) -> Scope:
    """Walk one local function."""
    scope, texts = Scope(), {F_NAME: "", F_DOMAIN: "", F_OVERLOAD: ""}
    for number, kind, value, end in wire.fields(data, start, stop):
        if kind != wire.BYTES:
            continue
        if number in texts:
            texts[number] = _text(totals.add_name(bytes(data[value:end])))
        elif number == F_NODE:
            _add_node(data, value, end, totals, scope, 0)
        elif number == F_ATTRIBUTE:
            _read_attribute(data, value, end, Node(), totals, scope, 0)
    scope.call = texts[F_DOMAIN], texts[F_NAME], texts[F_OVERLOAD]
    check_growth(scope.growers, scope.shapes, totals.limits)
    return scope


def _add_node(data: wire.Wire, start: int, stop: int, totals: Totals, scope: Scope, depth: int) -> Node:
    totals.nodes += 1
    totals.limits.check("E610", "nodes", totals.nodes, "the model has {} operators or more")
    scope.n_nodes += 1
    node = Node()
    for number, kind, value, end in wire.fields(data, start, stop):
        if kind != wire.BYTES:
            continue
        if number == N_ATTRIBUTE:
            _read_attribute(data, value, end, node, totals, scope, depth)
        elif number in (N_INPUT, N_OUTPUT):
            (node.inputs if number == N_INPUT else node.outputs).append(totals.add_name(bytes(data[value:end])))
        elif number == N_NAME:
            node.name = totals.add_name(bytes(data[value:end]))
        elif number in (N_OP, N_DOMAIN, N_OVERLOAD):
            text = _text(totals.add_name(bytes(data[value:end])))
            setattr(node, {N_OP: "op", N_DOMAIN: "domain", N_OVERLOAD: "overload"}[number], text)
    if node.op in LOOPS and node.domain in ("", "ai.onnx"):
        raise refused("E221", f"node {shown(node.name)} is a {node.op}, which may run for ever")
    scope.calls[node.domain, node.op, node.overload] += 1
    if node.op == "Constant" and node.outputs:
        scope.shapes[node.outputs[0]] = node.value
    if node.op in GROWERS:
        scope.growers.append(Grower(node.op, shown(node.name), node.inputs, node.value))
    return node


def _read_attribute(
    data: wire.Wire, start: int, stop: int, node: Node, totals: Totals, scope: Scope, depth: int
) -> None:
    name, whole = b"", list[int]()
    for number, kind, value, end in wire.fields(data, start, stop):
        if number in A_SPARSE:
            raise refused("E223", "the model holds sparse weights")
        if number in (A_INT, A_INTS) and (kind == wire.VARINT or end - value <= 640):
            whole += wire.varints(data, kind, value, end)
        elif kind == wire.BYTES and number == A_NAME:
            name = totals.add_name(bytes(data[value:end]))
        elif kind == wire.BYTES and number in (A_TENSOR, A_TENSORS):
            whole += totals.add_tensor(read_tensor(data, value, end, totals.limits)).small
        elif kind == wire.BYTES and number in (A_GRAPH, A_GRAPHS):
            add_graph(data, value, end, totals, depth + 1, scope)
    if name in (b"value", b"value_ints", b"value_int", b"shape"):
        node.value = whole


def _check_value(data: wire.Wire, start: int, stop: int, totals: Totals) -> None:
    """Refuse an input, output or value whose fixed dimensions alone are more numbers than the limit."""
    count, name = 1, b""
    for number, kind, value, end in wire.fields(data, start, stop):
        if number == 1 and kind == wire.BYTES:
            name = totals.add_name(bytes(data[value:end]))
        elif number == 2 and kind == wire.BYTES:
            for size in _dimensions(data, value, end):
                if not 0 <= size <= 1 << 40:
                    raise refused("E211", f"the value {shown(name)} has an impossible shape")
                count *= max(1, size)
                totals.limits.check("E612", "numbers", count, f"the value {shown(name)} has {{}} numbers")


def _dimensions(data: wire.Wire, start: int, stop: int) -> list[int]:
    """Return the fixed dimensions of TypeProto.tensor_type.shape.dim.dim_value."""
    places = [(start, stop)]
    for step in (1, 2, 1):
        places = [
            (value, end)
            for start, stop in places
            for number, kind, value, end in wire.fields(data, start, stop)
            if number == step and kind == wire.BYTES
        ]
    return [
        wire.signed(value)
        for start, stop in places
        for number, kind, value, _ in wire.fields(data, start, stop)
        if number == 1 and kind == wire.VARINT
    ]


def _once(seen: set[bytes], names: list[bytes], verb: str) -> None:
    for name in names:
        if name in seen:
            raise refused("E227", f"the graph {verb} {shown(name)} twice")
        seen.add(name)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise refused("E202", f"the name {shown(raw)} in the model is not UTF-8") from None
