"""Running the graph on labels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.coupling.context import Context, map_tensors, tensors_in
from pruning_core.coupling.labels import compact, no_channels
from pruning_core.coupling.rules import RULES
from pruning_core.coupling.zeros import is_infinite_when_dead, is_zero_when_dead
from pruning_core.layers import operator


def propagate(ctx: Context, module: fx.GraphModule) -> None:
    """Give every node its labels, in order."""
    for node in module.graph.nodes:
        if node.op == "placeholder":
            value = node.meta.get("val")
            ctx.values[node] = no_channels(ctx.shape(node)) if isinstance(value, Tensor) else value
        elif node.op == "get_attr":
            if ctx.tensors.is_tensor(node) and not isinstance(ctx.tensors.tensor(node), torch.nn.Parameter):
                ctx.real[node] = ctx.tensors.tensor(node)
        elif node.op == "output":
            for labels in tensors_in(ctx.value(node.args)):
                ctx.labels.freeze(labels, "they reach the model output")
        else:
            _evaluate_constant(ctx, node)
            ctx.values[node] = map_tensors(_labels_of(ctx, node), lambda labels: compact(ctx.roots(labels)))
            _note_zeros(ctx, node)


def _note_zeros(ctx: Context, node: fx.Node) -> None:
    if is_zero_when_dead(ctx, node):
        ctx.zero_when_dead.add(node)
    if (operand := is_infinite_when_dead(ctx, node)) is not None:
        ctx.labels.freeze(ctx.value(operand), f"{ctx.where(node)} would be infinite where a masked channel is 0")


def _evaluate_constant(ctx: Context, node: fx.Node) -> None:
    """Keep whole-number values that depend on no input: index tensors are needed by `index`."""
    value = node.meta.get("val")
    whole = isinstance(value, Tensor) and not value.is_floating_point()
    if whole and isinstance(node.target, torch._ops.OpOverload) and all(s in ctx.real for s in node.all_input_nodes):
        arguments = fx.node.map_arg((node.args, node.kwargs), ctx.real.__getitem__)
        try:
            ctx.real[node] = node.target(*arguments[0], **arguments[1])
        except RuntimeError:
            return  # then it stays a value known at run time only


def _labels_of(ctx: Context, node: fx.Node) -> Any:
    name = operator(node)
    if name == "getitem":
        return ctx.value(node.args[0])[node.args[1]]
    if name == "aten.sym_size.int":
        return ctx.value(node.args[0]).shape[node.args[1]]
    if not isinstance(node.target, torch._ops.OpOverload):
        return _python(ctx, node)
    if name not in RULES:
        return None if node.meta.get("val") is None else ctx.unknown(node)
    try:
        arguments = [_argument(ctx, node, i) for i in range(len(node.args))]
        return RULES[name].function(ctx, node, *arguments, **ctx.value(node.kwargs))
    except Exception as error:  # whatever a rule did not think of: nothing is assumed
        return ctx.unknown(node, f"its rule does not cover this use ({_first_line(error)})")


def _argument(ctx: Context, node: fx.Node, position: int) -> Any:
    """Labels of an argument; of a stored weight only the shape, for its rule asks for slots."""
    argument = node.args[position]
    if position not in RULES[operator(node)].weights:
        return ctx.value(argument)
    return fx.node.map_arg(argument, lambda n: no_channels(ctx.shape(n)) if ctx.is_weight(n) else ctx.value(n))


def _python(ctx: Context, node: fx.Node) -> Any:
    """Arithmetic on sizes; everything else (control flow, nested graphs) is unknown."""
    graphs = [s for s in node.all_input_nodes if s.op == "get_attr" and not ctx.tensors.is_tensor(s)]
    if graphs or node.op != "call_function":
        return ctx.unknown(node, "control flow or a nested graph")
    arguments = ctx.value(node.args)
    if all(isinstance(argument, (int, float, bool)) for argument in arguments):
        function: Callable[..., Any] = node.target  # type: ignore[assignment]
        return function(*arguments)
    return ctx.unknown(node)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().split("\n")[0][:120]
