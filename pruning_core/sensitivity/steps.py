"""`Step`: one node of the graph as a call, ready to run on the values of other nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from torch import fx

Values = Mapping[int, Any]  # place in the graph -> the value of the node there


@dataclass(frozen=True)
class _Ref:
    index: int


@dataclass(frozen=True)
class Step:
    """One node to run: its function and arguments, in which `_Ref`s stand for the values of other nodes."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]

    @staticmethod
    def of(node: fx.Node, index: Mapping[fx.Node, int]) -> "Step":
        """Return the step of a node that calls a function; `index` gives each node its place."""
        refs: dict[fx.Node, Any] = {n: _Ref(index[n]) for n in node.all_input_nodes}
        args: Any = fx.node.map_arg(node.args, lambda n: refs[n])
        kwargs: Any = fx.node.map_arg(node.kwargs, lambda n: refs[n])
        return Step(cast(Callable[..., Any], node.target), args, kwargs, tuple(ref.index for ref in refs.values()))

    @cached_property
    def is_nested(self) -> bool:
        """Whether values stand inside of lists (sizes, things to concatenate) or keywords."""
        plain = all(isinstance(a, _Ref) or not _refs(a) for a in self.args)
        return not plain or any(_refs(a) for a in self.kwargs.values())

    def run(self, values: Values) -> Any:
        """Return the node's value."""
        if self.is_nested:
            kwargs = {key: _fill(argument, values) for key, argument in self.kwargs.items()}
            return self.call(*[_fill(argument, values) for argument in self.args], **kwargs)
        return self.call(*[values[a.index] if type(a) is _Ref else a for a in self.args], **self.kwargs)


def _refs(argument: Any) -> bool:
    """Whether an argument is or holds a value to fill in."""
    return isinstance(argument, _Ref) or (isinstance(argument, (list, tuple)) and any(map(_refs, argument)))


def _fill(argument: Any, values: Values) -> Any:
    if isinstance(argument, _Ref):
        return values[argument.index]
    return [_fill(item, values) for item in argument] if isinstance(argument, (list, tuple)) else argument
