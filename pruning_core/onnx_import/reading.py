"""What is checked and put in order before a graph is built: opsets, functions of its own, data outside the file."""

from collections.abc import Iterator, Mapping

import onnx
from onnx import inliner

from pruning_core.onnx_import.table import MICROSOFT, ML, OPERATORS, key
from pruning_core.refusals import refused

LEAST_OPSET = 6
MOST_NODES = 1_000_000  # with functions written out
DOMAINS = ("", ML, MICROSOFT)


def ordered(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without functions of its own, and with the outputs that are numbers; else say what is wrong."""
    check_inside(proto)
    if len(proto.functions):
        check_size(proto)
        proto = inliner.inline_local_functions(proto)
    proto = written_out(proto)
    opset = opsets_of(proto).get("", 0)
    if not LEAST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        newest = onnx.defs.onnx_opset_version()
        raise refused("E229", f"the model uses ONNX opset {opset}; opsets {LEAST_OPSET} to {newest} are read")
    return with_plain_outputs(proto)


def written_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with operators that we lack written out, where ONNX itself defines them by others."""
    for _ in range(3):  # definitions use definitions
        lacking = {
            (node.domain, node.op_type)
            for node in proto.graph.node
            if key(node.domain, node.op_type) not in OPERATORS and _is_defined(proto, node)
        }
        if not lacking:
            break
        try:
            proto = inliner.inline_selected_functions(proto, sorted(lacking), inline_schema_functions=True)
        except RuntimeError:  # types that the definition needs are not known: the operator is named when it is built
            break
    return proto


def _is_defined(proto: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    try:
        version = opsets_of(proto).get("" if node.domain == "ai.onnx" else node.domain, 1)
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]


def opsets_of(proto: onnx.ModelProto) -> dict[str, int]:
    """Return the version of each domain."""
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in proto.opset_import}


def check_inside(proto: onnx.ModelProto) -> None:
    """Refuse weights that stand in other files, wherever a tensor can be."""
    for tensor in _tensors(proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise refused("E222", f"the weight '{tensor.name}' stands in another file")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from _tensors(inner)


def check_size(proto: onnx.ModelProto) -> None:
    """Refuse functions that call each other without end, or that would be too many nodes when written out."""
    functions = {(function.domain, function.name): function for function in proto.functions}
    sizes: dict[tuple[str, str], int] = {}
    for name in functions:
        _size(name, functions, sizes, ())
    calls = (sizes.get((node.domain, node.op_type), 1) for node in proto.graph.node)
    if (total := sum(calls)) > MOST_NODES:
        raise refused("E225", f"its functions written out are {total:,} nodes; at most {MOST_NODES:,} are read")


def _size(
    name: tuple[str, str],
    functions: Mapping[tuple[str, str], onnx.FunctionProto],
    sizes: dict[tuple[str, str], int],
    above: tuple[tuple[str, str], ...],
) -> int:
    if name not in functions:
        return 1
    if name in above or len(above) > 100:
        raise refused("E225", f"the function '{name[1]}' of the ONNX model calls itself, or calls are nested too deep")
    if name not in sizes:
        inner = ((node.domain, node.op_type) for node in functions[name].node)
        sizes[name] = 1 + sum(_size(call, functions, sizes, (*above, name)) for call in inner)
    return sizes[name]


def with_plain_outputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the outputs of real numbers alone, where there are such: a label is read off from these."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    makers = {name: node for node in proto.graph.node for name in node.output}
    kept = []
    for output in proto.graph.output:
        maker = makers.get(output.name)
        if maker is not None and maker.op_type == "ZipMap":  # scikit-learn's names for the classes
            kept.append(onnx.helper.make_tensor_value_info(maker.input[0], onnx.TensorProto.FLOAT, None))
        elif output.type.tensor_type.elem_type in floats:
            kept.append(output)
    if not kept or (len(kept) == len(proto.graph.output) and not any(n.op_type == "ZipMap" for n in proto.graph.node)):
        return proto
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    del changed.graph.output[:]
    changed.graph.output.extend(kept)
    nodes = _needed(changed.graph)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def _needed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, in order."""
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
            for attribute in node.attribute:
                for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                    wanted.update(name for inner_node in inner.node for name in inner_node.input)
    return kept[::-1]
