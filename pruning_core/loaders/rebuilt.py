"""Models whose source is not known, as the graph of operators that was traced: that can be written out as source."""

from dataclasses import replace

from pruning_core.errors import ExportError
from pruning_core.layers import operator
from pruning_core.model import Architecture, Model
from pruning_core.refusals import refused
from pruning_core.slimming import python_source
from pruning_core.slimming.rewrite import copied
from pruning_core.slimming.tensors import graph_module, state_of

CLASS = "TracedModel"


def with_source(model: Model) -> Model:
    """Return the model as its graph, with the source that builds it again; without, where that cannot be written."""
    graph = model.graph
    parts = dict(graph.module.named_modules())
    if any(node.op == "get_attr" and node.target in parts for node in graph.module.graph.nodes):
        raise refused("E234", f"'{model.title}' chooses at run time what it computes")
    flat, copies = copied(graph.module)
    for node in copies.values():
        if operator(node) == "aten._assert_tensor_metadata.default":
            flat.erase_node(node)  # it asserts what the tracer saw
    flat.eliminate_dead_code()
    module = graph_module(state_of(graph.module), flat)
    try:
        architecture = Architecture(python_source(module, CLASS), f"{CLASS}()")
    except ExportError:  # an operator that is not of torch
        architecture = None
    found = replace(model, module=module, architecture=architecture)
    vars(found)["graph"] = graph  # of the same tensors, traced already
    return found
