"""The imported model as Python source that needs torch alone: exports build it again from that, without pickles."""

from torch import nn

from pruning_core.graph import ModelGraph
from pruning_core.layers import operator
from pruning_core.model import Architecture
from pruning_core.slimming import python_source
from pruning_core.slimming.rewrite import copied
from pruning_core.slimming.tensors import graph_module, state_of

CLASS = "ImportedModel"


def architecture_of(module: nn.Module, graph: ModelGraph) -> Architecture:
    """Return the traced graph as source; its instances load the state of the module."""
    flat, copies = copied(graph.module)
    for node in copies.values():
        if operator(node) == "aten._assert_tensor_metadata.default":
            flat.erase_node(node)  # it asserts what the tracer saw
    flat.eliminate_dead_code()
    return Architecture(python_source(graph_module(state_of(module), flat), CLASS), f"{CLASS}()")
