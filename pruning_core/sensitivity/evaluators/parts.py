"""`PartsEvaluator`: what evaluators share that run a chunk in parts which stay in the processor's cache."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators.batch import Batch, bounds
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values


@dataclass(frozen=True)
class Reads:
    """What a route reads of a chunk: values of the frontier, values that the change gives for each example, sizes."""

    given: tuple[int, ...]
    moving: tuple[int, ...]
    sizes: tuple[int, ...]

    @staticmethod
    def of(replay: Replay, batch: Batch, changed: frozenset[int]) -> "Reads":
        """Return the reads of the route of some changed constants and values."""
        steps = replay.route(changed).steps
        inputs = {j for i in steps for j in replay.steps[i].inputs if j not in replay.constants}
        sizes = {j for j in inputs if batch.is_size(j)}
        moving = {j for j in changed if j in replay.steps}
        given = {j for j in replay.route(changed).reads if j in inputs} - sizes
        return Reads(tuple(sorted(given)), tuple(sorted(moving)), tuple(sorted(sizes)))


class PartRunner(Protocol):
    """Runs the route of some changed constants on a part of a chunk."""

    reads: Reads
    most: int  # examples of a part
    n_bytes: int  # kept for it

    def part(self, values: Values) -> Any:
        """Return what is kept of a part for all levels."""
        ...

    def run(self, part: Any, moving: Values, changed: Values) -> Tensor:
        """Return the output (batch, ...) of a part."""
        ...


Runner = TypeVar("Runner", bound=PartRunner)


@dataclass
class _Cut(Generic[Runner]):
    """A frontier that is cut already, for one route."""

    frontier: ReferenceType[Frontier]
    position: int
    runner: Runner
    parts: list[tuple[int, int, Any]]  # start, stop, and what the runner keeps of it


class PartsEvaluator(Generic[Runner]):
    """Routes are made when first needed, and given up when they grow too large.

    A sweep walks through all layers and begins again, so it is the one used last before that goes: the first ones are
    wanted next.
    """

    kept_bytes = 128 << 20

    def __init__(self, replay: Replay) -> None:
        self.replay, self.batch = replay, Batch(replay.nodes)
        self.runners: OrderedDict[frozenset[int], Runner] = OrderedDict()
        self._cut: _Cut[Runner] | None = None

    def make(self, changed: frozenset[int]) -> Runner:
        """Return what runs the route of some changed constants."""
        raise NotImplementedError

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        key = frozenset(changed)
        route = self.replay.route(key)
        if not route.steps:
            return self.replay.fork_changed(frontier, changed)
        runner = self._runner(key)
        moving = {j: changed[j] for j in runner.reads.moving}
        outputs = []
        for start, stop, part in self._parts(self.replay.enter(frontier, route), runner, moving):
            own = self.batch.cut(moving, start, stop) if stop else moving
            outputs.append(runner.run(part, own, changed))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _runner(self, key: frozenset[int]) -> Runner:
        if key not in self.runners:
            self.runners[key] = self.make(key)
        self.runners.move_to_end(key)
        while len(self.runners) > 1 and sum(runner.n_bytes for runner in self.runners.values()) > self.kept_bytes:
            del self.runners[next(other for other in reversed(self.runners) if other != key)]
        return self.runners[key]

    def _parts(self, frontier: Frontier, runner: Runner, moving: Values) -> list[tuple[int, int, Any]]:
        """Cut the frontier once for all levels of a layer; a stop of 0 means the whole chunk."""
        known = self._cut
        if known and known.frontier() is frontier and known.position == frontier.position and known.runner is runner:
            return known.parts
        values = {j: frontier.values[j] for j in runner.reads.given}
        n = self.batch.examples({**values, **moving})
        sizes = runner.reads.sizes
        if n is None or not self._can_cut(runner):
            given = {j: frontier.values[j] if n is None else self.batch.size(j, n) for j in sizes}
            parts = [(0, 0, runner.part(values | given))]
        else:
            parts = []
            for start, stop in bounds(n, runner.most):
                given = {j: self.batch.size(j, stop - start) for j in sizes}
                parts.append((start, stop, runner.part(self.batch.cut(values, start, stop) | given)))
        self._cut = _Cut(ref(frontier), frontier.position, runner, parts)
        return parts

    def _can_cut(self, runner: Runner) -> bool:
        reads, output = runner.reads, self.replay.output
        return self.batch.can_cut((*reads.given, *reads.moving)) and self.batch.dim(output) == 0
