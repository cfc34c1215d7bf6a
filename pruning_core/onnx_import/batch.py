"""The batch: open in the graph, or of a fixed size that the exporter wrote into its shapes.

A fixed batch is opened by building the graph for two sizes side by side. Operators follow the batch by themselves,
except a Reshape to written sizes. There the place of the batch follows from row-major order: a reshape moves no
element, so as many elements stand before one step of the batch as did before. Where that leaves two places both are
tried, the likelier first: the wrong one ends in shapes that do not fit, or in answers for several examples that differ
from those of ONNX Runtime for one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pruning_core.onnx_import.module import Argument, OnnxModel, Slot, Stored, compute
from pruning_core.onnx_import.table import Node
from pruning_core.onnx_import.values import Known, Unsupported, Value, known, product

MANY = 5  # times the size in the file


Reshaped = tuple[tuple[int, ...], tuple[int, ...]]  # shapes before and after, at the size in the file


class Batch:
    """A batch that the graph leaves open: nothing is to be mended."""

    def enter(self, inputs: Mapping[str, Tensor]) -> None:
        """Note the inputs."""

    def mended(
        self, node: Node, arguments: tuple[Argument, ...], values: Sequence[Value], module: OnnxModel
    ) -> tuple[Argument, ...]:
        """Return the arguments of a node, sizes that hold the batch left open."""
        return arguments

    def follow(self, node: Node, outputs: Sequence[str], values: Sequence[Value], results: Sequence[Value]) -> None:
        """Note the results of a node."""


@dataclass
class FixedBatch(Batch):
    """A batch of `size` in the file; `many` values of the builder are for `MANY` times as many examples."""

    size: int
    choices: Mapping[Reshaped, int] = field(default_factory=dict)  # which of the places is taken; left out, the first
    places: dict[Reshaped, int] = field(default_factory=dict)  # how many there are, in the order in which they were met
    doubtful: list[str] = field(default_factory=list)  # nodes where the batch could stand in two places
    _values: dict[str, Value] = field(default_factory=dict)  # at the size in the file
    _given: Sequence[Value] = ()  # to the node at hand
    _results: tuple[Value, ...] = ()
    _outer: dict[int, int] = field(default_factory=dict)  # k of a dimension batch * k: what counts outside the batch

    def enter(self, inputs: Mapping[str, Tensor]) -> None:
        """Note the inputs at the size in the file."""
        for name, many in inputs.items():
            self._values[name] = torch.empty((many.shape[0] // MANY, *many.shape[1:]), dtype=many.dtype)

    def mended(
        self, node: Node, arguments: tuple[Argument, ...], values: Sequence[Value], module: OnnxModel
    ) -> tuple[Argument, ...]:
        """Run the node at the size in the file; open the batch of a Reshape to written sizes."""
        self._given = [self._value(argument, module) for argument in arguments]
        self._results = compute(node, self._given)
        result = self._results[0]
        if node.operator != "Reshape" or not isinstance(result, Tensor) or not isinstance(values[0], Tensor):
            return arguments
        place = self._place(node, self._given[0].shape, values[0].shape, result.shape)
        if place is None:
            return arguments
        wanted = [size * MANY if i == place else size for i, size in enumerate(result.shape)]
        if _fits(node, values, wanted):
            return arguments
        return arguments[0], known([-1 if i == place else size for i, size in enumerate(result.shape)])

    def follow(self, node: Node, outputs: Sequence[str], values: Sequence[Value], results: Sequence[Value]) -> None:
        """Note the results; a shape that does not follow the batch in one dimension is refused."""
        had = node.operator != "CastLike" and any(map(_differ, self._given, values))
        for name, one, many in zip(outputs, self._results, results, strict=False):
            if not name:
                continue
            self._values[name] = one
            if not isinstance(one, Tensor) or not isinstance(many, Tensor):
                continue
            if not _follows(one.shape, many.shape) or (had and not _differ(one, many)):
                raise Unsupported(
                    f"a batch of {self.size} is written into it (shape {tuple(one.shape)}, with {MANY} times as many "
                    f"examples {tuple(many.shape)}), so export the model with an open (dynamic) batch"
                )

    def other_choices(self) -> dict[Reshaped, int] | None:
        """Return the next choices to try, None where all were: the last place that was met changes first."""
        met = list(self.places)
        for i in reversed(range(len(met))):
            if self.choices.get(met[i], 0) + 1 < self.places[met[i]]:
                kept = {key: self.choices.get(key, 0) for key in met[:i]}
                return {**kept, met[i]: self.choices.get(met[i], 0) + 1}
        return None

    def _value(self, argument: Argument, module: OnnxModel) -> Value:
        if isinstance(argument, Slot):
            return self._values[argument.name]
        return module.stored(argument.path) if isinstance(argument, Stored) else argument

    def _place(self, node: Node, before: Sequence[int], many: Sequence[int], after: Sequence[int]) -> int | None:
        """Return the dimension of the result that holds the batch, or None where the input has none."""
        changed = [i for i, (one, other) in enumerate(zip(before, many, strict=True)) if one != other]
        if not changed:
            return None
        within = before[changed[0]] // self.size
        outside = product(before[: changed[0]]) * self._outer.get(within, 1)
        found, passed = list[tuple[int, int, int]](), 1
        for i, size in enumerate(after):
            outer = outside // passed
            if outside % passed == 0 and size and size % (outer * self.size) == 0:
                found.append((i, outer, size // (outer * self.size)))
            passed *= size
        if not found:
            raise Unsupported("it cuts through the batch, so export the model with an open (dynamic) batch")
        alone = [place for place in found if place[1:] == (1, 1)]
        first = [place for place in found if place[1] == 1]
        likely = alone + [place for place in first + found if place not in alone]
        likely = list(dict.fromkeys(likely))
        key = (tuple(before), tuple(after))
        self.places.setdefault(key, len(likely))
        if len(alone or found) > 1:
            self.doubtful.append(node.name)
        place, outer, inner = likely[self.choices.get(key, 0)]
        self._outer[outer * inner] = outer
        return place


def _fits(node: Node, values: Sequence[Value], wanted: list[Any]) -> bool:
    """Whether a Reshape as it stands gives the wanted shape."""
    try:
        (result,) = compute(node, list(values))
    except RuntimeError:  # the written sizes hold another number of elements
        return False
    return isinstance(result, Known) or list(result.shape) == wanted


def _differ(one: Value, many: Value) -> bool:
    """Whether a value has a batch."""
    return isinstance(one, Tensor) and isinstance(many, Tensor) and one.shape != many.shape


def _follows(one: Sequence[int], many: Sequence[int]) -> bool:
    if len(one) != len(many):
        return False
    changed = [(a, b) for a, b in zip(one, many, strict=True) if a != b]
    return len(changed) <= 1 and all(b == MANY * a for a, b in changed)
