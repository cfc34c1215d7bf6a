"""A flat graph as Python source that needs torch alone: tensors by name, shape and type, and the forward function."""

import ast
import builtins
import math
import operator
from typing import Any

import torch
from torch import fx

from pruning_core.errors import ExportError
from pruning_core.slimming.tensors import state_of

_TEMPLATE = '''\
{imports}

class {class_name}(nn.Module):
    """A graph of torch operators; load its tensors with load_state_dict."""

    TENSORS = {{  # dotted name: shape, type, whether it is a parameter, whether it is trainable
{tensors}
    }}
    TIED = {{{tied}}}  # name: the name of the same tensor

    def __init__(self):
        super().__init__()
        for name, (shape, dtype, is_parameter, trainable) in self.TENSORS.items():
            tensor = torch.zeros(shape, dtype=dtype)
            tensor = nn.Parameter(tensor, requires_grad=trainable) if is_parameter else tensor
            for place in (name, *(tied for tied, other in self.TIED.items() if other == name)):
                self._put(place, tensor)

    def _put(self, name, tensor):
        owner, (*path, leaf) = self, name.split(".")
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]
        register = owner.register_parameter if isinstance(tensor, nn.Parameter) else owner.register_buffer
        register(leaf, tensor)

{forward}'''


def python_source(graph_module: fx.GraphModule, class_name: str = "SlimmedModel") -> str:
    """Return source that defines `class_name`, whose instances load the state of `graph_module` and compute the same.

    For flat graphs of aten operators, as `slim_graph` returns them.
    """
    code = graph_module.graph.python_code("self")
    tensors, tied = _tensors(graph_module)
    return _TEMPLATE.format(
        imports="\n".join(["import torch", "from torch import nn", *_globals(code.src, code.globals), ""]),
        class_name=class_name,
        tensors="\n".join(f"        {name!r}: {described}," for name, described in tensors.items()),
        tied=", ".join(f"{name!r}: {other!r}" for name, other in tied.items()),
        forward="\n".join("    " + line if line else "" for line in code.src.strip().split("\n")) + "\n",
    )


def _tensors(module: fx.GraphModule) -> tuple[dict[str, str], dict[str, str]]:
    described: dict[str, str] = {}
    tied: dict[str, str] = {}
    first: dict[int, str] = {}
    for name, tensor in state_of(module).items():
        if id(tensor) in first:
            tied[name] = first[id(tensor)]
            continue
        first[id(tensor)] = name
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        described[name] = f"({tuple(tensor.shape)}, {tensor.dtype}, {is_parameter}, {tensor.requires_grad})"
    return described, tied


def _globals(source: str, names: dict[str, Any]) -> list[str]:
    """Return a line that defines each name which the forward function uses."""
    used = {node.id for node in ast.walk(ast.parse(source.strip())) if isinstance(node, ast.Name)}
    return [line for name in sorted(used & set(names) - {"torch"}) if (line := _definition(name, names[name]))]


def _definition(name: str, value: Any) -> str:
    if isinstance(value, float):  # inf and nan
        return f"{name} = float({str(value)!r})"
    if value is type(None):
        return f"{name} = type(None)"
    if getattr(builtins, name, None) is value:
        return ""
    for module in (torch, operator, math):
        attribute = getattr(value, "__name__", "")
        if attribute and getattr(module, attribute, None) is value:
            return f"from {module.__name__.lstrip('_')} import {attribute} as {name}"
    raise ExportError(f"the graph calls {value!r}, which is no operator of torch; export it as ONNX instead")
