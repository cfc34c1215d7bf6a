"""A model without the removed channels, proven equal to the masked one: the user's own module where that can be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import fx, nn

from pruning_core.coupling import Coupling
from pruning_core.coupling.skippable import Skippable
from pruning_core.errors import CannotRemove, ExportError, PlanError
from pruning_core.graph import shapes_and_macs
from pruning_core.model import Model
from pruning_core.slimming.compare import Inputs, difference
from pruning_core.slimming.own_module import slim_module
from pruning_core.slimming.rewrite import slim_graph
from pruning_core.slimming.sites import Living, refused
from pruning_core.slimming.skip import skipping
from pruning_core.slimming.tensors import IntArray, parameters_of, state_of, with_packed

TOLERANCE = 1e-4  # of the largest output: rounding in another order of summation


@dataclass(frozen=True, eq=False)
class Slimmed:
    """A physically smaller model and the proof that it answers as the masked one does."""

    module: nn.Module
    kind: Literal["own", "graph"]  # the user's own class, or a flat graph of torch operators
    graph: fx.GraphModule  # the flat graph in either case
    params: int  # of the flat graph: the user's own class may hold some that are never read
    macs: int  # per example
    size_bytes: int  # of all tensors of the flat graph
    difference: float  # largest absolute difference of outputs from the masked model
    scale: float  # largest absolute output of the masked model
    samples: int  # examples compared


def slim(
    model: Model,
    coupling: Coupling,
    removed: IntArray,
    masked: nn.Module,
    batches: Iterable[Inputs],
    skipped: Sequence[Skippable] = (),
) -> Slimmed:
    """Return `model` without the groups `removed` and what is `skipped`, with the values of `masked`.

    `masked`, a masked copy of the module or a `living_graph`, has zeros where something goes. `batches` are real
    inputs, without any the example inputs and noise. Refused where nothing would get smaller, and where answers differ
    by more than `TOLERANCE`.
    """
    state, checked = with_packed(state_of(masked), coupling, model.module), list(batches) or examples(model)
    left = skipping(coupling, skipped, removed) if skipped else coupling
    graph = slim_graph(left, removed, state)
    before = sum(parameter.numel() for parameter in parameters_of(coupling))
    if params_of(graph) >= before:
        raise PlanError(
            f"'{model.name}' would keep all its {before} parameters: no whole channel, head or layer is removed; "
            "choose a structured granularity and a sparsity above zero"
        )
    macs = _checked_macs(model, left, removed, graph)
    own = None if skipped else slim_module(model.module, coupling, removed, graph, checked, state)
    module: nn.Module = graph if own is None else own
    found, scale, samples = difference(module, masked, checked)
    if not found <= TOLERANCE * scale:
        raise ExportError(
            f"'{model.name}' without the removed channels answers differently from the masked one, by {found:.3g} "
            f"(outputs up to {scale:.3g}); keep it masked, or remove other channels"
        )
    kind: Literal["own", "graph"] = "graph" if own is None else "own"
    return Slimmed(module, kind, graph, params_of(graph), macs, bytes_of(graph), found, scale, samples)


def examples(model: Model) -> list[Inputs]:
    """Return what stands in for data: the example inputs, which may all be zero, and noise of their shapes."""
    generator = torch.Generator().manual_seed(0)
    inputs = model.example_inputs
    noise = (torch.randn(x.shape, generator=generator, dtype=x.dtype) if x.is_floating_point() else x for x in inputs)
    return [inputs, tuple(noise)]


def params_of(module: nn.Module) -> int:
    """Count the elements of all parameters; tied ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def bytes_of(module: nn.Module) -> int:
    """Count the bytes of all parameters and buffers; tied ones once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _checked_macs(model: Model, coupling: Coupling, removed: IntArray, graph: fx.GraphModule) -> int:
    """Run the graph once: count its multiply-accumulates, and hold every result's shape against the coupling's."""
    try:
        shapes, macs = shapes_and_macs(graph, model.example_inputs)
    except RuntimeError as error:
        told = str(error).splitlines()
        where = next((line for line in told if line.startswith("While executing")), told[0])
        raise CannotRemove(f"'{model.name}' cannot run without these channels: {where[:200]}") from None
    living = Living(coupling, removed)
    for node in coupling.module.graph.nodes:
        results = living.results(node)
        expected = tuple(int(line.sum()) for line in results[0]) if results else ()
        if results and node.name in shapes and shapes[node.name] != expected:
            raise refused(node, f"its result has shape {shapes[node.name]}, not {expected}")
    return sum(macs.values())
