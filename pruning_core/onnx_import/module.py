"""The imported model: operators in order, their weights under dotted names of torch."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.onnx_import import operators  # noqa: F401  (fills the table)
from pruning_core.onnx_import.table import ON_NUMBERS, OPERATORS, Node
from pruning_core.onnx_import.values import Known, Unsupported, Value, tensor

MOST_INPUTS = 8


@dataclass(frozen=True)
class Slot:
    """A value that an earlier step, or the caller, puts in place."""

    name: str


@dataclass(frozen=True)
class Stored:
    """A parameter or buffer by its dotted name."""

    path: str


Argument = Slot | Stored | Known | None


@dataclass(frozen=True)
class Step:
    """One operator with its inputs; `done` are the values that nothing reads any more."""

    node: Node
    arguments: tuple[Argument, ...]
    outputs: tuple[str, ...]  # empty where an output is not used
    done: tuple[str, ...] = ()


def compute(node: Node, values: list[Value]) -> tuple[Value, ...]:
    """Run one operator, on numbers where all its inputs are numbers known while tracing."""
    given = [value for value in values if value is not None]
    if node.operator in ON_NUMBERS and given and all(isinstance(value, Known) for value in given):
        result = ON_NUMBERS[node.operator](node, *values)
        if result is not NotImplemented:
            return result if isinstance(result, tuple) else (result,)
    entry = OPERATORS.get(node.operator)
    if entry is None:
        raise Unsupported("this operator is not supported")
    wanted = [
        tensor(value) if isinstance(value, Known) and i not in entry.known and not entry.scalars else value
        for i, value in enumerate(values)
    ]
    result = entry.function(node, *wanted)
    return tuple(result) if isinstance(result, tuple | list) else (result,)


class OnnxModel(nn.Module):
    """A model read from ONNX. Its weights are parameters in submodules, named as in the file where that is a name."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.entries: list[tuple[str, torch.dtype]] = []  # inputs in order, and the type that the graph wants
        self.results: list[Argument] = []

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        third: Tensor | None = None,
        fourth: Tensor | None = None,
        fifth: Tensor | None = None,
        sixth: Tensor | None = None,
        seventh: Tensor | None = None,
        eighth: Tensor | None = None,
    ) -> Any:
        """Return the output, or a tuple of several; whole numbers of any type are taken for whole numbers."""
        given = [first, second, third, fourth, fifth, sixth, seventh, eighth]
        values: dict[str, Value] = {}
        for (name, dtype), value in zip(self.entries, given, strict=False):
            assert value is not None, f"input '{name}' is missing"
            values[name] = value if value.dtype == dtype else value.to(dtype)
        for step in self.steps:
            results = compute(step.node, [self.value(argument, values) for argument in step.arguments])
            values.update(zip(step.outputs, results, strict=False))
            for name in step.done:
                del values[name]
        outputs = [tensor(self.value(result, values)) for result in self.results]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def tidy(self) -> None:
        """Leave out steps whose results nothing needs, and note after which step a value is no longer needed."""
        kept = {result.name for result in self.results if isinstance(result, Slot)}
        steps = []
        for step in reversed(self.steps):
            if not kept.intersection(step.outputs):
                continue
            read = {argument.name for argument in step.arguments if isinstance(argument, Slot)}
            fresh = (read | {name for name in step.outputs if name}) - kept
            kept |= fresh
            steps.append(replace(step, done=tuple(sorted(fresh))))
        self.steps = steps[::-1]

    def value(self, argument: Argument, values: dict[str, Value]) -> Value:
        """Return what an argument stands for."""
        if isinstance(argument, Slot):
            return values[argument.name]
        return self.stored(argument.path) if isinstance(argument, Stored) else argument

    def stored(self, path: str) -> Tensor:
        """Return a parameter or buffer by its dotted name."""
        owner, _, leaf = path.rpartition(".")
        found: Tensor = getattr(self.get_submodule(owner), leaf)
        return found

    def store(self, path: str, value: Tensor, is_parameter: bool) -> None:
        """Add a parameter or buffer, with the modules that its name goes through."""
        owner: nn.Module = self
        *scopes, leaf = path.split(".")
        for scope in scopes:
            if scope not in owner._modules:
                owner.add_module(scope, nn.Module())
            owner = owner.get_submodule(scope)
        if is_parameter:
            owner.register_parameter(leaf, nn.Parameter(value))
        else:
            owner.register_buffer(leaf, value)
