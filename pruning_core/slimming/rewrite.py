"""The graph of a model without the removed channels: smaller tensors, and only the numbers rewritten that name sizes.

Most operators need nothing: what they do follows from the shapes of their arguments. Row-major views of a box are views
of the smaller box, so only sizes, positions, numbers of groups, the scale of attention and constant indices change.
"""

from torch import fx
from torch.fx.node import Argument

from pruning_core.coupling import Coupling
from pruning_core.layers import operator
from pruning_core.slimming import positions, sizes
from pruning_core.slimming.rewrites import REWRITES
from pruning_core.slimming.sites import Living, Site
from pruning_core.slimming.tensors import IntArray, State, graph_module, smaller, stored_lines, stored_tensors

__all__ = ["copied", "positions", "sizes", "slim_graph"]  # sizes and positions fill the table


def slim_graph(coupling: Coupling, removed: IntArray, state: State | None = None) -> fx.GraphModule:
    """Return the graph without the groups `removed`; values come from `state` (a masked copy's), else the model's own.

    Parameters keep their dotted names and stay trainable where they were. A flat graph: one tensor, or a tuple of them.
    """
    lines = stored_lines(coupling, removed)  # refuses what must stay, and what would be no rectangular tensor
    tensors = smaller(stored_tensors(coupling, state or {}), lines)
    living = Living(coupling, removed)
    graph, copies = copied(coupling.module)
    for was, node in copies.items():
        name = operator(was).removeprefix("aten.").split(".")[0]
        if name in REWRITES and operator(was).startswith("aten."):
            REWRITES[name](Site(node, was, living, tensors))
        elif name == "_assert_tensor_metadata":
            graph.erase_node(node)  # it asserts what the tracer saw
    graph.eliminate_dead_code()
    return graph_module(tensors, graph)


def copied(module: fx.GraphModule) -> tuple[fx.Graph, dict[fx.Node, fx.Node]]:
    """Return a plain copy of the graph, without notes of the tracer, and the copy of each node."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in module.graph.nodes:
        if node.op == "output":
            copies[node] = graph.output(fx.map_arg(_flat(module, node), copies.__getitem__))
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].meta = {}
    return graph, copies


def _flat(module: fx.GraphModule, output: fx.Node) -> Argument:
    """Return one node where the model returns one tensor, else the tuple of what it returns."""
    leaves = output.args[0]
    spec = getattr(module, "_out_spec", None)
    if isinstance(leaves, (tuple, list)) and spec is not None and spec.is_leaf():
        return leaves[0]
    return leaves
