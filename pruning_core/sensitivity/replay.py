"""Replay of the graph from the pruned node on: the dense values before it are computed once and kept.

Every node is functional, so a kept value is never overwritten. A weight that is used twice forks at its first use,
since all nodes that depend on it run again. What depends on no input is computed once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from torch import Tensor, fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import WEIGHT_USES, operator, tensor_at
from pruning_core.sensitivity.prepare import channels_last, needed, place, prepare

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
class _Ref:
    index: int


@dataclass(frozen=True)
class _Step:
    """One node to run: its function and arguments, in which `_Ref`s stand for the values of other nodes."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]

    @cached_property
    def is_nested(self) -> bool:
        """Whether values stand inside of lists (sizes, things to concatenate) or keywords."""
        plain = all(isinstance(a, _Ref) or not _refs(a) for a in self.args)
        return not plain or any(_refs(a) for a in self.kwargs.values())

    def run(self, values: Mapping[int, Any]) -> Any:
        """Return the node's value."""
        if self.is_nested:
            kwargs = {key: _fill(argument, values) for key, argument in self.kwargs.items()}
            return self.call(*[_fill(argument, values) for argument in self.args], **kwargs)
        return self.call(*[values[a.index] if type(a) is _Ref else a for a in self.args], **self.kwargs)


def _refs(argument: Any) -> bool:
    """Whether an argument is or holds a value to fill in."""
    return isinstance(argument, _Ref) or (isinstance(argument, (list, tuple)) and any(map(_refs, argument)))


def _fill(argument: Any, values: Mapping[int, Any]) -> Any:
    if isinstance(argument, _Ref):
        return values[argument.index]
    return [_fill(item, values) for item in argument] if isinstance(argument, (list, tuple)) else argument


@dataclass(frozen=True)
class Route:
    """What some constants change: the steps to run again, after each the values that nothing later needs.

    `beside` are the steps after the first of them that do not depend on the constants, but that the branch reads.
    """

    steps: tuple[int, ...]
    dies: tuple[tuple[int, ...], ...]
    beside: tuple[int, ...]
    position: int  # of the first step, or the end
    macs: int  # of all steps


class Replay:
    """The dense model prepared for forks; holds no state of a run, so sessions may share it."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        prepared = prepare(graph)
        nodes = list(prepared.module.graph.nodes)
        output = _first_output(nodes[-1])
        index = {node: i for i, node in enumerate(nodes)}
        wanted = [node for node in nodes if node in needed(nodes, output)]
        self.end, self._output = len(nodes), index[output]
        self._scales, self._folds = prepared.scales, prepared.folded
        self._inputs = [index[node] for node in nodes if node.op == "placeholder"]
        self._weights = {name: tuple(index[node] for node in readers) for name, readers in prepared.readers.items()}
        self._steps = {index[node]: _step(node, index) for node in wanted if node.op == "call_function"}
        self.constants = {index[n]: _tensor(prepared.module, n) for n in wanted if n.op == "get_attr"}
        self.constants |= {i: self.weight(name, None) for name, indices in self._weights.items() for i in indices}
        self._constant_names = {index[node]: str(node.target) for node in nodes if node.op == "get_attr"}
        self._vectors = self._find_vectors(prepared.module, nodes, index)
        self._folded_steps: dict[int, _Step] = {}
        self._routes: dict[frozenset[int], Route] = {}
        self._fold_constants()
        self._dies = self._last_uses(self._steps)
        self._macs = {i: prepared.macs[nodes[i]] for i in self._steps}
        forks = {name: self.route(indices) for name, indices in self._weights.items()}
        self.positions = {name: fork.position for name, fork in forks.items()}
        self.example_bytes = sum(prepared.example_bytes[nodes[i]] for i in self._steps)  # all values of one example
        self.fork_macs = {name: fork.macs for name, fork in forks.items()}

    def _find_vectors(
        self, module: fx.GraphModule, nodes: list[fx.Node], index: dict[fx.Node, int]
    ) -> dict[str, tuple[int, ...]]:
        """Return which constants hold each parameter or buffer that is no layer's weight, folded or as it is."""
        own = self.graph.module
        places = {place(tensor_at(own, layer.parameter)) for layer in self.graph.layers}
        names: dict[Any, list[str]] = {}
        for name, tensor in (*own.named_parameters(remove_duplicate=False), *own.named_buffers(remove_duplicate=False)):
            names.setdefault(place(tensor), []).append(name)
        folded = {fold.constant: fold.vectors for fold in self._folds.values()}
        found: dict[str, tuple[int, ...]] = {}
        for node in nodes:
            if index[node] in self.constants:
                at = place(tensor_at(module, str(node.target)))
                known = folded.get(str(node.target), () if at in places else tuple(names.get(at, ())))
                found |= {name: (*found.get(name, ()), index[node]) for name in known}
        return found

    def changed(
        self, masks: Mapping[str, Tensor], values: Mapping[str, Tensor] = {}, weights: Mapping[str, Tensor] = {}
    ) -> dict[int, Any]:
        """Return the constants that masks (by layer, or by parameter in its stored shape) make different.

        `values` are new values of layers and parameters before masking; `weights` are layers prepared already.
        """
        found: dict[int, Any] = {}
        for name in dict.fromkeys([*masks, *values]):
            if name in self._weights:
                new = weights[name] if name in weights else self.weight(name, masks.get(name), values.get(name))
                found |= dict.fromkeys(self._weights[name], new)
        for name in [name for name in values if name not in self._weights]:
            old = tensor_at(self.graph.module, name).detach()
            scales = {fold.constant: fold.scale for fold in self._folds.values() if fold.bias == name}
            for i in self._vectors.get(name, ()):
                scale = scales.get(self._constant_names[i])
                found[i] = found.get(i, self.constants[i]) + (values[name] - old) * (1 if scale is None else scale)
        for name in [name for name in masks if name not in self._weights]:
            found |= {i: found.get(i, self.constants[i]) * masks[name] for i in self._vectors.get(name, ())}
        for i, step in self._folded_steps.items():
            if not found.keys().isdisjoint(step.inputs):
                found[i] = step.run({**self.constants, **found})
        return found

    def route(self, constants: Iterable[int]) -> Route:
        """Return what must run again when these constants change."""
        key = frozenset(constants)
        if key not in self._routes:
            self._routes[key] = self._fork(tuple(sorted(key)))
        return self._routes[key]

    def position_of(self, constants: Iterable[int]) -> int:
        """Return the place of the first node that reads one of these constants."""
        wanted = frozenset(constants)
        return next((i for i, step in self._steps.items() if not wanted.isdisjoint(step.inputs)), self.end)

    def weight(self, name: str, mask: Tensor | None, value: Tensor | None = None) -> Tensor:
        """Return the weight of layer `name` as the prepared graph wants it: masked, scaled, in its stored layout.

        `value` (out, in, *kernel) stands for the model's own weight where one is given.
        """
        layer, weight = self.graph.layer(name), self.graph.weight(name) if value is None else value
        masked = weight if mask is None else weight * mask
        if name in self._scales:
            masked = masked * self._scales[name].view(-1, *(1,) * (masked.dim() - 1))
        return channels_last(layer.stored(masked))

    def constants_with(self, weights: Mapping[str, Tensor]) -> dict[int, Any]:
        """Return the constants of the graph with the weights of some layers replaced."""
        return self.constants | {i: weight for name, weight in weights.items() for i in self._weights[name]}

    def start(self, *inputs: Tensor) -> Frontier:
        """Return the frontier before the first node for prepared inputs (batch, ...)."""
        return Frontier(0, {i: channels_last(x) for i, x in zip(self._inputs, inputs, strict=True)})

    def advance(self, frontier: Frontier, position: int, constants: Constants | None = None) -> Frontier:
        """Run the nodes before `position` and drop values that nothing later reads; returns `frontier` itself."""
        constants = self.constants if constants is None else constants
        values = {**constants, **frontier.values}
        for i in range(frontier.position, position):
            if i in self._steps:
                if i not in values:
                    values[i] = self._steps[i].run(values)
                for dead in self._dies.get(i, ()):
                    values.pop(dead, None)
        frontier.values = {i: value for i, value in values.items() if i not in constants}
        frontier.position = max(frontier.position, position)
        return frontier

    def outputs(self, frontier: Frontier, constants: Constants | None = None) -> Tensor:
        """Run everything that is left and return the model's output (batch, ...); `frontier` itself stays."""
        result: Tensor = self.advance(frontier.copy(), self.end, constants).values[self._output]
        return result

    def complete(self, frontier: Frontier) -> Tensor:
        """Return the model's output and keep every value on the way in `frontier`, which stays where it stands."""
        values = {**self.constants, **frontier.values}
        for i in range(frontier.position, self.end):
            if i in self._steps:
                frontier.values[i] = values[i] = self._steps[i].run(values)
        result: Tensor = values[self._output]
        return result

    def fork(self, frontier: Frontier, name: str, weight: Tensor) -> Tensor:
        """Return the output when only layer `name` has another weight: runs only the nodes that depend on it.

        `frontier` stands best at `positions[name]`; dense values that the branch needs are computed into it.
        """
        if frontier.position > self.positions[name]:
            raise ValueError(f"the frontier is past layer '{name}'")
        return self.fork_changed(frontier, dict.fromkeys(self._weights[name], weight))

    def fork_changed(self, frontier: Frontier, changed: Mapping[int, Any]) -> Tensor:
        """Return the output when some constants are different, as `changed` gives them."""
        route = self.route(changed)
        if frontier.position > route.position:
            raise ValueError("the frontier is past what changed")
        if frontier.position < route.position:
            frontier = self.advance(frontier.copy(), route.position)
        self._run_beside(frontier, route.beside)
        values = {**self.constants, **frontier.values, **changed}
        for i, dies in zip(route.steps, route.dies, strict=True):
            values[i] = self._steps[i].run(values)
            for dead in dies:
                del values[dead]
        result: Tensor = values[self._output]
        return result

    def _run_beside(self, frontier: Frontier, beside: tuple[int, ...]) -> None:
        """Compute dense values that stand after the fork, such as a shortcut's, unless they are there."""
        missing = [i for i in beside if i not in frontier.values]
        if missing:
            values = {**self.constants, **frontier.values}
            for i in missing:
                frontier.values[i] = values[i] = self._steps[i].run(values)

    def _fold_constants(self) -> None:
        """Compute once what depends on no input and on no prunable weight."""
        weights = {i for indices in self._weights.values() for i in indices}
        for i, step in list(self._steps.items()):
            if step.inputs and all(j in self.constants and j not in weights for j in step.inputs):
                self.constants[i] = step.run(self.constants)
                self._folded_steps[i] = self._steps.pop(i)

    def _fork(self, weights: tuple[int, ...]) -> Route:
        changed = set(weights)
        for i, step in self._steps.items():
            if changed.intersection(step.inputs):
                changed.add(i)
        steps = tuple(i for i in self._steps if i in changed)
        last = self._last_uses({i: self._steps[i] for i in steps})
        dies = tuple(tuple(j for j in last.get(i, ()) if j in changed and j in self._steps) for i in steps)
        macs = sum(self._macs[i] for i in steps)
        return Route(steps, dies, self._beside(steps, changed), steps[0] if steps else self.end, macs)

    def _beside(self, steps: tuple[int, ...], changed: set[int]) -> tuple[int, ...]:
        found: set[int] = set()
        for i in reversed([i for i in self._steps if i > min(steps, default=self.end)]):
            if i in changed or i in found:
                found.update(j for j in self._steps[i].inputs if j in self._steps and j not in changed)
        return tuple(sorted(i for i in found if i > min(steps)))

    def _last_uses(self, steps: Mapping[int, _Step]) -> dict[int, list[int]]:
        last = {j: i for i, step in steps.items() for j in step.inputs if j != self._output}
        dies: dict[int, list[int]] = {}
        for j, i in last.items():
            dies.setdefault(i, []).append(j)
        return dies


def _tensor(module: fx.GraphModule, node: fx.Node) -> Tensor:
    tensor = tensor_at(module, str(node.target)).detach()
    by_convolution = all(operator(user) in WEIGHT_USES for user in node.users)
    return channels_last(tensor) if by_convolution else tensor


def _step(node: fx.Node, index: dict[fx.Node, int]) -> _Step:
    refs: dict[fx.Node, Any] = {n: _Ref(index[n]) for n in node.all_input_nodes}
    args: Any = fx.node.map_arg(node.args, lambda n: refs[n])
    kwargs: Any = fx.node.map_arg(node.kwargs, lambda n: refs[n])
    return _Step(cast(Callable[..., Any], node.target), args, kwargs, tuple(ref.index for ref in refs.values()))


def _first_output(output: fx.Node) -> fx.Node:
    value: Any = output.args[0]
    first: fx.Node = value[0] if isinstance(value, (tuple, list)) else value
    return first
