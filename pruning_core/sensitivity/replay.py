"""Replay of the graph from the pruned node on: the dense values before it are computed once and kept.

Every node is functional, so a kept value is never overwritten. A weight that is used twice forks at its first use,
since all nodes that depend on it run again. What depends on no input is computed once.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from pruning_core.coupling import Coupling
from pruning_core.graph import ModelGraph
from pruning_core.ranking import Change
from pruning_core.sensitivity.constants import Changed, Constants
from pruning_core.sensitivity.devices import CPU, placed, step_on
from pruning_core.sensitivity.norms import LivingLines
from pruning_core.sensitivity.prepare import channels_last, needed, prepare
from pruning_core.sensitivity.routes import Route, Routes
from pruning_core.sensitivity.steps import Step, Values


@dataclass
class Frontier:
    """Values that later nodes still need, after all nodes before `position` ran on one chunk of inputs."""

    position: int
    values: dict[int, Any]

    def copy(self) -> "Frontier":
        """Return a frontier that shares the tensors; advancing it leaves this one as it is."""
        return Frontier(self.position, dict(self.values))

    @property
    def n_bytes(self) -> int:
        """Bytes of the kept tensors."""
        return sum(value.nbytes for value in self.values.values() if isinstance(value, Tensor))


class Replay:
    """The dense model prepared for forks; holds no state of a run, so sessions may share it.

    Under a `coupling` through norms, these take their statistics of the channels that live.
    """

    def __init__(self, graph: ModelGraph, coupling: Coupling | None = None) -> None:
        self.coupling, self.device = coupling, CPU
        norms = LivingLines(coupling) if coupling is not None else None
        prepared = prepare(graph, norms)
        nodes = list(prepared.module.graph.nodes)
        output = _first_output(nodes[-1])
        index = {node: i for i, node in enumerate(nodes)}
        alive = needed(nodes, output)
        wanted = [node for node in nodes if node in alive]
        self.nodes, self.end, self.output = tuple(nodes), len(nodes), index[output]
        self._inputs = [index[node] for node in nodes if node.op == "placeholder"]
        self._stored = Constants(graph, prepared, [node for node in wanted if node.op == "get_attr"], norms)
        self.constants = self._stored.dense  # what the dense model reads besides its inputs
        self.steps = self._stored.compute({index[n]: Step.of(n, index) for n in wanted if n.op == "call_function"})
        self.places = {node.name: index[node] for node in wanted if node.op == "call_function"}  # by the graph's names
        self.macs = {i: prepared.macs[nodes[i]] for i in self.steps}  # of each step, for one example
        self.value_bytes = {i: prepared.example_bytes[nodes[i]] for i in self.steps}  # of one example
        self._routes = Routes(self.steps, self.macs, self.output, self.end)
        forks = {name: self.route(places) for name, places in self._stored.weights.items()}
        self.folded = frozenset(prepared.folded)  # layers that the batch norm after them went into
        self.positions = {name: fork.position for name, fork in forks.items()}
        self.example_bytes = sum(self.value_bytes.values())
        self.fork_macs = {name: fork.macs for name, fork in forks.items()}

    def to(self, device: str) -> "Replay":
        """Return a replay that computes on `device`, where its outputs stay; this one if it does."""
        if device == self.device:
            return self
        moved = copy(self)
        moved.device, moved.constants = device, placed(self.constants, device)
        moved.steps = {i: step_on(step, device) for i, step in self.steps.items()}
        return moved

    def weight(self, name: str, mask: Tensor | None, value: Tensor | None = None) -> Tensor:
        """Return the weight of layer `name` as the prepared graph wants it, masked; `value` stands for its own."""
        return self._stored.weight(name, mask, value).to(self.device)

    def changed(self, change: Change, weights: Mapping[str, Tensor] = {}) -> Changed:
        """Return the constants that `change` makes different; `weights` are layers prepared already."""
        found = self._stored.changed(change, weights)
        return found if self.device == CPU else Changed(placed(found, self.device))

    def constants_with(self, weights: Mapping[str, Tensor]) -> dict[int, Any]:
        """Return the constants of the graph with the weights of some layers replaced."""
        return self.constants | {i: weight for name, weight in weights.items() for i in self._stored.weights[name]}

    def route(self, constants: Iterable[int]) -> Route:
        """Return what must run again when these constants change."""
        return self._routes.of(constants)

    def position_of(self, constants: Iterable[int]) -> int:
        """Return the place of the first node that reads one of these constants."""
        return self._routes.position_of(constants)

    def start(self, *inputs: Tensor) -> Frontier:
        """Return the frontier before the first node for prepared inputs (batch, ...)."""
        return Frontier(0, {i: channels_last(x.to(self.device)) for i, x in zip(self._inputs, inputs, strict=True)})

    def advance(self, frontier: Frontier, position: int, constants: Values | None = None) -> Frontier:
        """Run the nodes before `position` and drop values that nothing later reads; returns `frontier` itself."""
        constants = self.constants if constants is None else constants
        values = {**constants, **frontier.values}
        for i in range(frontier.position, position):
            if i in self.steps:
                if i not in values:
                    values[i] = self.steps[i].run(values)
                for dead in self._routes.dies.get(i, ()):
                    values.pop(dead, None)
        frontier.values = {i: value for i, value in values.items() if i not in constants}
        frontier.position = max(frontier.position, position)
        return frontier

    def outputs(self, frontier: Frontier, constants: Values | None = None) -> Tensor:
        """Run everything that is left and return the model's output (batch, ...); `frontier` itself stays."""
        result: Tensor = self.advance(frontier.copy(), self.end, constants).values[self.output]
        return result

    def complete(self, frontier: Frontier) -> Tensor:
        """Return the model's output and keep every value on the way in `frontier`, which stays where it stands."""
        values = {**self.constants, **frontier.values}
        for i in range(frontier.position, self.end):
            if i in self.steps:
                frontier.values[i] = values[i] = self.steps[i].run(values)
        result: Tensor = values[self.output]
        return result

    def fork(self, frontier: Frontier, name: str, weight: Tensor) -> Tensor:
        """Return the output when only layer `name` has another weight: runs only the nodes that depend on it.

        `frontier` stands best at `positions[name]`; dense values that the branch needs are computed into it.
        """
        if frontier.position > self.positions[name]:
            raise ValueError(f"the frontier is past layer '{name}'")
        return self.fork_changed(frontier, dict.fromkeys(self._stored.weights[name], weight))

    def fork_changed(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output when some constants are different, as `changed` gives them."""
        route = self.route(changed)
        frontier = self.enter(frontier, route)
        return self.follow(route, {**self.constants, **frontier.values, **changed})

    def follow(self, route: Route, values: dict[int, Any]) -> Tensor:
        """Run the steps of a route on `values`, which hold all that it reads and are used up; return the output."""
        for i, dies in zip(route.steps, route.dies, strict=True):
            values[i] = self.steps[i].run(values)
            for dead in dies:
                del values[dead]
        result: Tensor = values[self.output]
        return result

    def enter(self, frontier: Frontier, route: Route) -> Frontier:
        """Return a frontier that holds all that `route` reads: this one if it can, else a copy walked on.

        Dense values that stand after the fork are computed into it.
        """
        if frontier.position > route.position:
            raise ValueError("the frontier is past what changed")
        if all(j in frontier.values or j in self.constants for j in route.reads):
            return frontier
        if frontier.position < route.position:
            frontier = self.advance(frontier.copy(), route.position)
        self._run_beside(frontier, route.beside)
        return frontier

    def _run_beside(self, frontier: Frontier, beside: tuple[int, ...]) -> None:
        """Compute dense values that stand after the fork, such as a shortcut's, unless they are there."""
        missing = [i for i in beside if i not in frontier.values]
        if missing:
            values = {**self.constants, **frontier.values}
            for i in missing:
                frontier.values[i] = values[i] = self.steps[i].run(values)


def _first_output(output: fx.Node) -> fx.Node:
    value: Any = output.args[0]
    first: fx.Node = value[0] if isinstance(value, (tuple, list)) else value
    return first
