"""What a rewrite sees of one call: its arguments by name, and what lives of the values around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from pruning_core.coupling import Coupling
from pruning_core.coupling.remains import Lines
from pruning_core.errors import CannotRemove
from pruning_core.layers import operator
from pruning_core.slimming.tensors import IntArray


class Living:
    """What lives of every value when the groups `removed` are gone; each label tensor is looked up once."""

    def __init__(self, coupling: Coupling, removed: IntArray) -> None:
        self.coupling, self.removed = coupling, removed
        self._known: dict[int, Lines] = {}

    def lines(self, labels: Tensor, node: fx.Node) -> Lines:
        """Return one bool vector per dimension of a value; a refusal names `node`."""
        if labels.dim() == 0:
            return ()
        if id(labels) not in self._known:
            try:
                self._known[id(labels)] = self.coupling.alive(labels, self.removed)
            except CannotRemove as error:
                raise refused(node, str(error)) from None
        return self._known[id(labels)]

    def results(self, node: fx.Node) -> tuple[Lines, ...]:
        """Return the lines of each tensor that a node of the coupling's graph returns."""
        value = self.coupling.values.get(node)
        several = value if isinstance(value, (tuple, list)) else (value,)
        return tuple(self.lines(labels, node) for labels in several if isinstance(labels, Tensor))


def refused(node: fx.Node, why: str) -> CannotRemove:
    """Return the error that names a call."""
    return CannotRemove(f"{operator(node)} ({node.name}): {why}; remove other channels, or mask these instead")


@dataclass(frozen=True)
class Site:
    """One call of the smaller graph. `was` is the same call in the coupling's graph, where values have their labels."""

    node: fx.Node
    was: fx.Node
    living: Living
    tensors: dict[str, Tensor]  # of the smaller graph, by dotted name

    def __getitem__(self, name: str) -> Any:
        """Return the argument `name`, or its default."""
        for position, argument in enumerate(self._schema):
            if argument.name == name:
                given = self.node.args[position] if position < len(self.node.args) else argument.default_value
                return self.node.kwargs.get(name, given)
        raise KeyError(f"{operator(self.node)} has no argument {name}")

    def __contains__(self, name: str) -> bool:
        return any(argument.name == name for argument in self._schema)

    def __setitem__(self, name: str, value: Any) -> None:
        for position, argument in enumerate(self._schema):
            if argument.name == name and (argument.kwarg_only or name in self.node.kwargs):
                self.node.update_kwarg(name, value)
            elif argument.name == name:
                defaults = [other.default_value for other in self._schema[len(self.node.args) : position + 1]]
                self.node.args = (*self.node.args, *defaults)
                self.node.update_arg(position, value)

    def becomes(self, target: Any, *arguments: Any) -> None:
        """Make it a call of another operator."""
        self.node.target, self.node.args, self.node.kwargs = target, arguments, {}

    def constant(self, name: str, value: Tensor) -> fx.Node:
        """Store a tensor of the graph's own and return the node that reads it."""
        self.tensors[f"{name}_{self.was.name}"] = value
        with self.node.graph.inserting_before(self.node):
            return self.node.graph.get_attr(f"{name}_{self.was.name}")

    @property
    def _schema(self) -> Sequence[Any]:
        arguments: Sequence[Any] = self.was.target._schema.arguments  # type: ignore[union-attr]
        return arguments

    @property
    def first_name(self) -> str:
        """The name of the first argument."""
        name: str = self._schema[0].name
        return name

    @property
    def source(self) -> fx.Node:
        """The first argument; every operator with a rewrite takes a tensor there."""
        source = self.node.args[0]
        assert isinstance(source, fx.Node)
        return source

    @property
    def entering(self) -> Lines:
        """What lives of the first argument."""
        source = self.was.args[0]
        assert isinstance(source, fx.Node)
        return self.living.lines(self.living.coupling.values[source], self.was)

    @property
    def leaving(self) -> Lines:
        """What lives of the result."""
        return self.living.results(self.was)[0]

    @property
    def pieces(self) -> tuple[Lines, ...]:
        """What lives of each of several results."""
        return self.living.results(self.was)

    def refused(self, why: str) -> CannotRemove:
        """Return the error that names this call."""
        return refused(self.was, why)


def is_thin(line: Tensor) -> bool:
    """Whether a dimension loses something."""
    return not bool(line.all())


def living(line: Tensor) -> int:
    """Return the new size of a dimension."""
    return int(line.sum())
