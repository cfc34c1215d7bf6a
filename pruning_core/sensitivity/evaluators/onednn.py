"""Forks in torch by oneDNN's fused operators, on packed weights and in parts that stay in the processor's cache."""

from typing import Any

from torch import Tensor

from pruning_core.sensitivity.evaluators.batch import Batch
from pruning_core.sensitivity.evaluators.fusion import Fused, Fusion, is_available
from pruning_core.sensitivity.evaluators.parts import PartsEvaluator, Reads
from pruning_core.sensitivity.evaluators.seam import CannotRun, evaluator
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.steps import Values

PART_BYTES = 8 << 20  # of the largest value of a part of a chunk
FEWEST = 8  # examples of a part: each call costs as much as some examples


class FusedRoute:
    """The fused calls of one route, and after which of them a value is needed no more."""

    n_bytes = 0  # packed weights are shared by all routes

    def __init__(self, replay: Replay, batch: Batch, fusion: Fusion, changed: frozenset[int]) -> None:
        self.replay, self.reads = replay, Reads.of(replay, batch, changed)
        steps = replay.route(changed).steps
        self.calls: list[Fused] = fusion.of(steps)
        made = {call.result for call in self.calls} | set(self.reads.moving)
        last = {j: n for n, call in enumerate(self.calls) for j in call.inputs if j in made and j != replay.output}
        self.dies: list[tuple[int, ...]] = [() for _ in self.calls]
        for j, n in last.items():
            self.dies[n] += (j,)
        read = {j for call in self.calls for j in call.inputs}
        self.constants = {j: fusion.constants[j] for j in read if j in fusion.constants}
        self.most = max(FEWEST, PART_BYTES // max(1, *(replay.value_bytes[i] for i in steps)))

    def part(self, values: Values) -> dict[int, Any]:
        """Return the values of a part with the constants that the route reads."""
        return {**self.constants, **values}

    def run(self, part: Values, moving: Values, changed: Values) -> Tensor:
        """Return the output (batch, ...) of a part."""
        values = {**part, **changed, **moving}
        for call, dies in zip(self.calls, self.dies, strict=True):
            values[call.result] = call.run(values)
            for dead in dies:
                del values[dead]
        result: Tensor = values[self.replay.output]
        return result


@evaluator("onednn", "oneDNN, fused")
class OneDnnEvaluator(PartsEvaluator[FusedRoute]):
    """The steps of each route are fused once; the dense weights are packed once for all routes."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay)
        self.fusion = Fusion(replay, replay.constants)

    def make(self, changed: frozenset[int]) -> FusedRoute:
        """Return the fused calls of a route."""
        if not is_available():
            raise CannotRun("this build of torch has no oneDNN operators")
        return FusedRoute(self.replay, self.batch, self.fusion, changed)
