"""The table of operators: one function each, `(node, *inputs) -> output or tuple of outputs`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"


@dataclass(frozen=True)
class Node:
    """One operator of the model, without its inputs."""

    operator: str
    name: str
    opset: int
    outputs: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""  # the module that it was exported from, where the file says so

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.attributes

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute or what stands for it where it is left out."""
        return self.attributes.get(attribute, default)


@dataclass(frozen=True)
class Operator:
    """How one operator is computed, and how its inputs are wanted."""

    function: Callable[..., Any]
    known: tuple[int, ...] = ()  # inputs that it needs as numbers
    scalars: bool = False  # single numbers are taken as numbers wherever they stand
    weights: Mapping[int, str] = field(default_factory=dict)  # input -> the name of that parameter in torch


OPERATORS: dict[str, Operator] = {}
ON_NUMBERS: dict[str, Callable[..., Any]] = {}  # the same operators where all inputs are `Known`


def operator(
    *names: str, known: tuple[int, ...] = (), scalars: bool = False, weights: Mapping[int, str] | None = None
) -> Callable[[Function], Function]:
    """Add a function for operators of ONNX; those of another domain are named `domain.Name`."""

    def add(function: Function) -> Function:
        for name in names:
            if name in OPERATORS:
                raise ValueError(f"operator {name} has two functions")
            OPERATORS[name] = Operator(function, known, scalars, weights or {})
        return function

    return add


def on_numbers(*names: str) -> Callable[[Function], Function]:
    """Add a function for operators where all inputs are numbers known while tracing."""

    def add(function: Function) -> Function:
        for name in names:
            if name in ON_NUMBERS:
                raise ValueError(f"operator {name} has two functions on numbers")
            ON_NUMBERS[name] = function
        return function

    return add


def key(domain: str, name: str) -> str:
    """Return the name of an operator in the tables."""
    return name if domain in ("", "ai.onnx") else f"{domain}.{name}"
