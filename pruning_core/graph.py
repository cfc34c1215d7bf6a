"""The model as one functional graph: prunable weights found by operator, MACs by node, what nobody knows by name.

`torch.export` with a dynamic batch, decomposed to functional operators: parameters keep their dotted names, in-place
operations are gone, attention appears as linear and scaled_dot_product_attention. Everything else reads this graph.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from pruning_core.errors import ModelError, UnknownName
from pruning_core.layers import Layer, NotPrunable, find_layers, leftovers, operator, tensor_at
from pruning_core.macs import FREE, MACS
from pruning_core.registry import suggestion

TRACE_BATCH = 2  # a batch of 1 would be specialised away by torch.export


@dataclass(frozen=True)
class ModelGraph:
    """The traced model; `module` is a functional torch.fx GraphModule that shares the model's parameters."""

    module: fx.GraphModule
    layers: tuple[Layer, ...]
    not_prunable: tuple[NotPrunable, ...]
    macs_by_node: dict[str, int]
    unsupported_operators: tuple[str, ...]
    params: int
    size_bytes: int  # parameters and buffers as they are
    input_shapes: tuple[tuple[int, ...], ...]  # without the batch
    output_shape: tuple[int, ...]  # without the batch
    input_types: tuple[torch.dtype, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one example."""
        return sum(self.macs_by_node.values())

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> Layer:
        """Return the layer `name`, or say which name was meant."""
        if name not in self.by_name:
            for other in self.not_prunable:
                if other.name == name:
                    raise UnknownName(f"'{name}' cannot be pruned: {other.why}")
            if owner := self._owner_of(name):
                raise UnknownName(f"'{name}' has the weight of '{owner}' and is pruned with it; name '{owner}' instead")
            raise UnknownName(f"the model has no prunable layer '{name}'; {suggestion(name, self.by_name)}")
        return self.by_name[name]

    def _owner_of(self, name: str) -> str | None:
        """Return the layer that a tied weight, called by another of its names, is pruned as."""
        tensors = dict(self.module.named_parameters(remove_duplicate=False))
        tied = tensors.get(f"{name}.weight", tensors.get(name))
        owners = (layer.name for layer in self.layers if tied is tensors[layer.parameter])
        return None if tied is None else next(owners, None)

    def weight(self, name: str) -> Tensor:
        """Return the weight of layer `name`, (out, in, *kernel); a view where storage allows."""
        layer = self.layer(name)
        return layer.canonical(tensor_at(self.module, layer.parameter).detach())


def trace(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> ModelGraph:
    """Trace `module` (in evaluation mode) at `example_inputs` (batch first, any batch) into one functional graph."""
    if module.training:
        raise ModelError("the model is in training mode; call model.eval() before tracing it")
    examples = tuple(_batch_of_two(example) for example in example_inputs)
    graph_module = _export(module, examples)
    return _describe(graph_module, examples)


def _batch_of_two(example: Tensor) -> Tensor:
    if example.dim() == 0 or 0 in example.shape:
        raise ModelError(f"an example input of shape {tuple(example.shape)} has no batch; give (batch, ...)")
    return example[:1].repeat(TRACE_BATCH, *(1,) * (example.dim() - 1))


def _export(module: nn.Module, examples: tuple[Tensor, ...]) -> fx.GraphModule:
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in examples)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.export warns about its own internals
            program = torch.export.export(module, examples, dynamic_shapes=dynamic).run_decompositions({})
            graph_module = cast(fx.GraphModule, program.module())
    except Exception as error:
        raise _untraceable(examples, error) from None
    for node in list(graph_module.graph.nodes):
        if node.op == "call_module" and not node.users:  # the guard that export adds
            graph_module.graph.erase_node(node)
    graph_module.recompile()
    return graph_module


def _untraceable(examples: tuple[Tensor, ...], error: Exception) -> ModelError:
    reason = str(error).strip().split("\n")[0][:200]
    return ModelError(
        f"the model cannot be traced at inputs {[tuple(example.shape) for example in examples]}: {reason}"
    )


class _Shapes(fx.Interpreter):
    """Run once and note each node's output shape (one tensor) or shapes (several)."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(first, Tensor):
            self.shapes[n.name] = tuple(first.shape)
        return result


def _describe(module: fx.GraphModule, examples: tuple[Tensor, ...]) -> ModelGraph:
    interpreter = _Shapes(module)
    try:
        with torch.no_grad():
            output = interpreter.run(*examples)
    except Exception as error:  # such as shapes that depend on values
        raise _untraceable(examples, error) from None
    first = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(first, Tensor):
        raise ModelError(f"the model returns {type(first).__name__}; a model that returns a tensor works")
    macs, unsupported = _count_macs(module, interpreter.shapes)
    layers = find_layers(module, macs)
    tensors = [*dict(module.named_parameters()).values(), *dict(module.named_buffers()).values()]
    return ModelGraph(
        module=module,
        layers=layers,
        not_prunable=leftovers(module, layers),
        macs_by_node=macs,
        unsupported_operators=unsupported,
        params=sum(parameter.numel() for parameter in module.parameters()),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        input_shapes=tuple(tuple(example.shape[1:]) for example in examples),
        output_shape=tuple(first.shape[1:]),
        input_types=tuple(example.dtype for example in examples),
    )


def shapes_and_macs(
    module: fx.GraphModule, example_inputs: tuple[Tensor, ...]
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return by node: its (first) output's shape at a batch of `TRACE_BATCH`, its multiply-accumulates per example."""
    interpreter = _Shapes(module)
    with torch.no_grad():
        interpreter.run(*(_batch_of_two(example) for example in example_inputs))
    return interpreter.shapes, _count_macs(module, interpreter.shapes)[0]


def _count_macs(module: fx.GraphModule, shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, int], tuple[str, ...]]:
    macs: dict[str, int] = {}
    unknown: dict[str, None] = {}
    for node in module.graph.nodes:
        if not isinstance(node.target, (torch._ops.OpOverload, torch._ops.HigherOrderOperator)):
            continue  # inputs, parameters, and arithmetic on sizes
        if operator(node) in MACS:
            arguments = [shapes[a.name] for a in node.args if isinstance(a, fx.Node)]
            macs[node.name] = MACS[operator(node)](shapes[node.name], arguments) // TRACE_BATCH
        elif operator(node).removeprefix("aten.").split(".")[0] not in FREE:
            unknown[operator(node)] = None
    return macs, tuple(unknown)
