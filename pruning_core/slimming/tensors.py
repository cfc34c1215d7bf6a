"""The stored tensors of a model, smaller: what lives of each, taken from given values."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from pruning_core.coupling import Coupling
from pruning_core.coupling.remains import Lines
from pruning_core.layers import tensor_at

IntArray = NDArray[np.int64]
State = Mapping[str, Tensor]  # parameters and buffers by dotted name, tied ones under all their names


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers of a module, tied ones under all their names."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def stored_tensors(coupling: Coupling, state: State) -> dict[str, Tensor]:
    """Return the tensors that the coupling's graph reads, by dotted name; from `state` where it has them."""
    found = {}
    for node in coupling.module.graph.nodes:
        if node.op != "get_attr" or node.target in found:
            continue
        name = str(node.target)
        own = tensor_at(coupling.module, name)
        part = coupling.parts.get(name)
        if name in state:
            found[name] = state[name]
        elif part is not None and part.packed in state:
            piece = state[part.packed].detach().narrow(part.dim, part.start, own.shape[part.dim])
            found[name] = nn.Parameter(piece, requires_grad=state[part.packed].requires_grad)
        else:
            found[name] = own
    return found


def parameters_of(coupling: Coupling) -> list[nn.Parameter]:
    """Return the parameters that the coupling's graph reads, tied ones once."""
    unique = {id(tensor): tensor for tensor in stored_tensors(coupling, {}).values()}
    return [tensor for tensor in unique.values() if isinstance(tensor, nn.Parameter)]


def stored_lines(coupling: Coupling, removed: IntArray) -> dict[str, Lines]:
    """Return what lives of the tensors that the coupling's graph reads and that lose something, by dotted name.

    Refuses what must stay. A tied tensor has one name in the coupling and may be read under another.
    """
    of_copy = coupling.remains.tensors.module  # has all tensors, also those that `coupling.module` reads no more
    lines = {_memory(tensor_at(of_copy, name)): line for name, line in coupling.stored_lines(removed).items()}
    read = {str(node.target) for node in coupling.module.graph.nodes if node.op == "get_attr"}
    found = {name: tensor_at(coupling.module, name) for name in sorted(read)}
    return {name: lines[_memory(tensor)] for name, tensor in found.items() if _memory(tensor) in lines}


def _memory(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def with_packed(state: State, coupling: Coupling, module: nn.Module) -> dict[str, Tensor]:
    """Return `state` and, put together from their parts, the packed parameters of `module` that it lacks."""
    packed = {part.packed for part in coupling.parts.values() if part.packed not in state}
    whole = {name: tensor_at(module, name).detach().clone() for name in sorted(packed)}
    for name, part in coupling.parts.items():
        if part.packed in whole and name in state:
            piece = state[name].detach()
            whole[part.packed].narrow(part.dim, part.start, piece.shape[part.dim]).copy_(piece)
    parameters = {name: nn.Parameter(value, tensor_at(module, name).requires_grad) for name, value in whole.items()}
    return {**state, **parameters}


def smaller(tensors: State, lines: Mapping[str, Lines]) -> dict[str, Tensor]:
    """Return copies of the living elements; tied tensors stay tied, parameters stay parameters."""
    return _changed(tensors, lines, _taken)


def masked(tensors: State, lines: Mapping[str, Lines]) -> dict[str, Tensor]:
    """Return copies in which what does not live is zero; variances are left as they are, for nothing reads them."""
    zeroed = {name: line for name, line in lines.items() if not name.endswith("running_var")}
    return _changed(tensors, zeroed, _zeroed)


def _changed(
    tensors: State, lines: Mapping[str, Lines], change: Callable[[Tensor, Lines], Tensor]
) -> dict[str, Tensor]:
    lines_of = {id(tensors[name]): lines[name] for name in tensors if name in lines}
    done: dict[int, Tensor] = {}
    for tensor in tensors.values():
        if id(tensor) not in done:
            values = (
                change(tensor.detach(), lines_of[id(tensor)]) if id(tensor) in lines_of else tensor.detach().clone()
            )
            is_parameter = isinstance(tensor, nn.Parameter)
            done[id(tensor)] = nn.Parameter(values, tensor.requires_grad) if is_parameter else values
    return {name: done[id(tensor)] for name, tensor in tensors.items()}


def _taken(tensor: Tensor, lines: Lines) -> Tensor:
    for dim, line in enumerate(lines):
        tensor = tensor.index_select(dim, line.nonzero()[:, 0])
    return tensor


def _zeroed(tensor: Tensor, lines: Lines) -> Tensor:
    tensor = tensor.clone()
    for dim, line in enumerate(lines):
        tensor.index_fill_(dim, (~line).nonzero()[:, 0], 0)
    return tensor


def graph_module(tensors: Mapping[str, Tensor], graph: fx.Graph) -> fx.GraphModule:
    """Return a module of `graph` that holds `tensors` by dotted name, all of them in its state; evaluation mode."""
    module = fx.GraphModule(dict(tensors), graph)
    module.graph.lint()
    return module.eval()
