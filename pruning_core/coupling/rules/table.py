"""The table of rules: how the labels of channels travel through each operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import fx

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

RuleFunction = Callable[..., Any]
Function = TypeVar("Function", bound=RuleFunction)


@dataclass(frozen=True)
class Rule:
    """A function of the context, the node and its arguments, every tensor replaced by its labels."""

    function: RuleFunction
    weights: tuple[int, ...]  # arguments that are weights where they are stored: the rule asks for their slots


RULES: dict[str, Rule] = {}


def rule(*names: str, weights: tuple[int, ...] = ()) -> Callable[[Function], Function]:
    """Add a rule for aten operators: all overloads of a name without a dot."""

    def add(function: Function) -> Function:
        for name in names:
            packet = getattr(torch.ops.aten, name.split(".")[0])
            overloads = [name.split(".")[1]] if "." in name else packet.overloads()
            for overload in overloads:
                key = f"aten.{name.split('.')[0]}.{overload}"
                if key in RULES:
                    raise ValueError(f"operator {key} has two rules")
                RULES[key] = Rule(function, weights)
        return function

    return add


def argument(ctx: Context, node: fx.Node, name: str) -> Any:
    """Return the argument of an operator by the name in its schema, or its default."""
    assert isinstance(node.target, torch._ops.OpOverload)
    for position, declared in enumerate(node.target._schema.arguments):
        if declared.name != name:
            continue
        if name in node.kwargs:
            return ctx.value(node.kwargs[name])
        if not declared.kwarg_only and position < len(node.args):
            return ctx.value(node.args[position])
        return declared.default_value
    return None
