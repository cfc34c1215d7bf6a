"""Replay of the graph from the pruned node on: the dense values before it are computed once and kept.

Batch norms are folded into the convolution before them (masks are made on the original weight, then scaled), tensors
are channels_last, nodes that depend on no input are computed once. Every node is functional, so a kept value is never
overwritten. A weight that is used twice forks at its first use, since all nodes that depend on it run again.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at
from pruning_core.sensitivity.prepare import channels_last, fold_batch_norms, weight_readers

Constants = Mapping[int, Any]


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


@dataclass(frozen=True)
class _Step:
    """One node to run: its function and arguments, in which `_Ref`s stand for the values of other nodes."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class _Ref:
    index: int


@dataclass(frozen=True)
class _Fork:
    """What runs again when one weight changes: its steps, and after each the values that nothing later needs."""

    steps: tuple[int, ...]
    dies: tuple[tuple[int, ...], ...]


class Replay:
    """The dense model prepared for forks; holds no state of a run, so sessions may share it."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        module, self._scale = fold_batch_norms(graph)
        nodes = list(module.graph.nodes)
        index = {node: i for i, node in enumerate(nodes)}
        self._inputs = [index[node] for node in nodes if node.op == "placeholder"]
        self._weight_indices = {name: weight_readers(module, index, layer) for name, layer in graph.by_name.items()}
        self.constants: dict[int, Any] = {
            index[n]: channels_last(tensor_at(module, str(n.target)).detach()) for n in nodes if n.op == "get_attr"
        }
        self._steps = {index[node]: _step(node, index) for node in nodes if node.op == "call_function"}
        self._output = _output_index(nodes[-1], index)
        for name in self._scale:
            self.constants |= dict.fromkeys(self._weight_indices[name], self.weight(name, None))
        self._fold_constants()
        self.end = len(nodes)
        self._last_use = self._last_uses(self._steps)
        self.forks = {name: self._fork(indices) for name, indices in self._weight_indices.items()}
        self.positions = {name: fork.steps[0] for name, fork in self.forks.items()}
        macs = {index[node]: graph.macs_by_node.get(node.name, 0) for node in nodes}
        self.fork_macs = {name: sum(macs[i] for i in fork.steps) for name, fork in self.forks.items()}

    def weight(self, name: str, mask: Tensor | None) -> Tensor:
        """Return the weight of layer `name` as the prepared graph wants it: masked, scaled, in its stored layout."""
        layer = self.graph.layer(name)
        weight = self.graph.weight(name)
        masked = weight if mask is None else weight * mask
        if name in self._scale:
            masked = masked * self._scale[name].view(-1, *(1,) * (masked.dim() - 1))
        return channels_last(layer.stored(masked))

    def constants_with(self, weights: Mapping[str, Tensor]) -> dict[int, Any]:
        """Return the constants of the graph with the weights of some layers replaced."""
        return self.constants | {i: weight for name, weight in weights.items() for i in self._weight_indices[name]}

    def start(self, *inputs: Tensor) -> Frontier:
        """Return the frontier before the first node for prepared inputs (batch, ...)."""
        values = {i: channels_last(x) for i, x in zip(self._inputs, inputs, strict=True)}
        return Frontier(0, values)

    def advance(self, frontier: Frontier, position: int, constants: Constants | None = None) -> Frontier:
        """Run the nodes before `position` and drop values that nothing later reads; returns `frontier` itself."""
        constants = self.constants if constants is None else constants
        values = frontier.values
        for i in range(frontier.position, position):
            if i not in self._steps:
                continue
            if i not in values:
                values[i] = self._run(i, values, constants)
            for dead in self._last_use.get(i, ()):
                values.pop(dead, None)
        frontier.position = max(frontier.position, position)
        return frontier

    def outputs(self, frontier: Frontier, constants: Constants | None = None) -> Tensor:
        """Run everything that is left and return the model's output (batch, ...); `frontier` itself stays."""
        result: Tensor = self.advance(frontier.copy(), self.end, constants).values[self._output]
        return result

    def fork(self, frontier: Frontier, name: str, weight: Tensor) -> Tensor:
        """Return the output when only layer `name` has another weight: runs only the nodes that depend on it.

        `frontier` must stand at or before `positions[name]`. Dense values that the branch needs are computed into it.
        """
        fork = self.forks[name]
        constants = self.constants_with({name: weight})
        changed: dict[int, Any] = {}
        values = ChainMap(changed, frontier.values)
        for i, dies in zip(fork.steps, fork.dies, strict=True):
            step = self._steps[i]
            for j in step.inputs:
                if j not in changed and j not in constants:
                    self._dense(frontier, j)
            changed[i] = self._run(i, values, constants)
            for dead in dies:
                changed.pop(dead, None)
        result: Tensor = changed[self._output]
        return result

    def _dense(self, frontier: Frontier, i: int) -> None:
        """Make sure that the dense value of node `i` is in the frontier (a shortcut may come after the fork)."""
        if i in frontier.values:
            return
        for j in self._steps[i].inputs:
            if j not in self.constants:
                self._dense(frontier, j)
        frontier.values[i] = self._run(i, frontier.values, self.constants)

    def _run(self, i: int, values: Mapping[int, Any], constants: Constants) -> Any:
        step = self._steps[i]

        def value(argument: Any) -> Any:
            if isinstance(argument, _Ref):
                return constants[argument.index] if argument.index in constants else values[argument.index]
            if isinstance(argument, (list, tuple)):
                return type(argument)(value(item) for item in argument)
            return argument

        return step.call(*[value(a) for a in step.args], **{key: value(a) for key, a in step.kwargs.items()})

    def _fold_constants(self) -> None:
        """Compute once what depends on no input and on no prunable weight."""
        weights = {i for indices in self._weight_indices.values() for i in indices}
        for i, step in list(self._steps.items()):
            if step.inputs and all(j in self.constants and j not in weights for j in step.inputs):
                self.constants[i] = self._run(i, {}, self.constants)
                del self._steps[i]

    def _fork(self, weight_indices: tuple[int, ...]) -> _Fork:
        changed = set(weight_indices)
        for i, step in self._steps.items():
            if changed.intersection(step.inputs):
                changed.add(i)
        steps = tuple(sorted(changed.difference(weight_indices)))
        last = self._last_uses({i: self._steps[i] for i in steps})
        return _Fork(steps, tuple(tuple(j for j in last.get(i, ()) if j in changed) for i in steps))

    def _last_uses(self, steps: Mapping[int, _Step]) -> dict[int, list[int]]:
        last: dict[int, int] = {}
        for i, step in steps.items():
            for j in step.inputs:
                if j != self._output:
                    last[j] = i
        dies: dict[int, list[int]] = {}
        for j, i in last.items():
            dies.setdefault(i, []).append(j)
        return dies


def _step(node: fx.Node, index: dict[fx.Node, int]) -> _Step:
    refs = {n: _Ref(index[n]) for n in node.all_input_nodes}
    args: Any = fx.node.map_arg(node.args, lambda n: refs[n])  # type: ignore[arg-type,return-value]
    kwargs: Any = fx.node.map_arg(node.kwargs, lambda n: refs[n])  # type: ignore[arg-type,return-value]
    return _Step(cast(Callable[..., Any], node.target), args, kwargs, tuple(ref.index for ref in refs.values()))


def _output_index(output: fx.Node, index: dict[fx.Node, int]) -> int:
    value = output.args[0]
    first = value[0] if isinstance(value, (tuple, list)) else value
    return index[first]  # type: ignore[index]
