"""The living graph as a module: the model's own tensors under their own names, masked, and statistics of what lives."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.coupling import Coupling
from pruning_core.slimming.living import living_graph
from pruning_core.slimming.sites import Living, is_thin
from pruning_core.slimming.tensors import IntArray, State, state_of, with_packed


class LivingModule(fx.GraphModule):
    """A masked model that is no copy of the user's module, since some of its norms see fewer channels than that."""


def thins_norms(coupling: Coupling, removed: IntArray) -> bool:
    """Whether some norm takes its statistic of channels of which some go."""
    alive = Living(coupling, removed)
    for node, dims in coupling.statistics.items():
        lines = alive.lines(coupling.values[_source(node)], node)
        if any(is_thin(lines[dim]) for dim in dims):
            return True
    return False


def living_module(model: nn.Module, coupling: Coupling, removed: IntArray, masked: nn.Module) -> LivingModule:
    """Return what `masked`, a masked copy of `model`, computes where norms see the living channels alone.

    Its state is that of `masked` and the positions of what lives.
    """
    state = state_of(masked)
    graph = living_graph(coupling, removed, state)
    tensors = with_packed(state_of(graph), coupling, model)
    for node in list(graph.graph.nodes):
        if node.op == "get_attr" and node.target in coupling.parts:
            packed = coupling.parts[node.target].packed
            _put(graph, packed, tensors[packed])
            _read_packed(graph.graph, node, coupling, tensors.pop(node.target).shape)
    module = LivingModule(tensors, graph.graph)
    for name, tensor in _unread(state, tensors).items():
        _put(module, name, tensor)
    return module.eval()


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def _read_packed(graph: fx.Graph, node: fx.Node, coupling: Coupling, shape: torch.Size) -> None:
    """Let `node`, which reads a part of a packed parameter, take it from the whole."""
    part = coupling.parts[str(node.target)]
    with graph.inserting_before(node):
        bounds: tuple[Any, ...] = (part.dim, part.start, part.start + shape[part.dim])
        piece = graph.call_function(torch.ops.aten.slice.Tensor, (graph.get_attr(part.packed), *bounds))
    node.replace_all_uses_with(piece)
    graph.erase_node(node)


def _unread(state: State, tensors: State) -> dict[str, Tensor]:
    """Return the tensors of `state` that the graph does not read; other names of those that it does stay tied."""
    read = {id(state[name]): tensor for name, tensor in tensors.items() if name in state}
    return {name: read.get(id(tensor), tensor) for name, tensor in state.items() if name not in tensors}


def _put(module: nn.Module, name: str, tensor: Tensor) -> None:
    *path, leaf = name.split(".")
    for part in path:
        if not hasattr(module, part):
            module.add_module(part, nn.Module())
        module = getattr(module, part)
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(leaf, tensor)
    else:
        module.register_buffer(leaf, tensor)
