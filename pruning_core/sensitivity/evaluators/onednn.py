"""Forks in torch by oneDNN's fused operators, on packed weights and in parts that stay in the processor's cache."""

from weakref import ReferenceType, ref

import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators.batch import Batch
from pruning_core.sensitivity.evaluators.fusion import Fused, Fusion, is_available
from pruning_core.sensitivity.evaluators.seam import CannotRun, evaluator
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values

PART_BYTES = 3 << 20  # of the largest value of a part of a chunk
FEWEST = 8  # examples of a part: each call costs as much as some examples


@evaluator("onednn", "oneDNN, fused")
class OneDnnEvaluator:
    """The steps of each route are fused once; the dense weights are packed once for all routes."""

    def __init__(self, replay: Replay) -> None:
        self.replay, self._batch, self._fusion = replay, Batch(replay.nodes), Fusion(replay)
        self._routes: dict[frozenset[int], FusedRoute] = {}
        self._last: tuple[ReferenceType[Frontier], int, FusedRoute, list[dict[int, object]]] | None = None

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        if not is_available():
            raise CannotRun("this build of torch has no oneDNN operators")
        key = frozenset(changed)
        if key not in self._routes:
            self._routes[key] = FusedRoute(self.replay, self._batch, self._fusion, key)
        route = self._routes[key]
        parts = self._parts(self.replay.enter(frontier, self.replay.route(key)), route)
        outputs = [route.run(part, changed) for part in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _parts(self, frontier: Frontier, route: "FusedRoute") -> list[dict[int, object]]:
        """Cut the frontier once for all levels of a layer."""
        if self._last is not None:
            known, position, of, parts = self._last
            if known() is frontier and position == frontier.position and of is route:
                return parts
        parts = route.parts(frontier.values)
        self._last = ref(frontier), frontier.position, route, parts
        return parts


class FusedRoute:
    """The fused calls of one route, and after which of them a value is needed no more."""

    def __init__(self, replay: Replay, batch: Batch, fusion: Fusion, changed: frozenset[int]) -> None:
        self.replay, self.batch = replay, batch
        steps = replay.route(changed).steps
        self.calls: list[Fused] = fusion.of(steps)
        made = {call.result for call in self.calls}
        last = {j: n for n, call in enumerate(self.calls) for j in call.inputs if j in made and j != replay.output}
        self.dies: list[tuple[int, ...]] = [() for _ in self.calls]
        for j, n in last.items():
            self.dies[n] += (j,)
        read = {j for call in self.calls for j in call.inputs} - made
        self.constants = {j: replay.constants[j] for j in read if j in replay.constants}
        self.given = {j for j in read if j not in self.constants and not batch.is_size(j)}
        self.sizes = {j for j in read if j not in self.constants and batch.is_size(j)}
        largest = max((replay.value_bytes[i] for i in steps), default=1)
        whole = batch.dim(replay.output) != 0
        self.most = 1 << 62 if whole else max(FEWEST, PART_BYTES // max(1, largest))

    def parts(self, values: Values) -> list[dict[int, object]]:
        """Return what the route reads of the frontier's `values`, cut into parts."""
        parts = self.batch.split({j: values[j] for j in self.given}, self.most)
        for part in parts:
            n = self.batch.examples(part)
            part |= {j: values[j] if n is None else self.batch.size(j, n) for j in self.sizes}
        return parts

    def run(self, part: dict[int, object], changed: Values) -> Tensor:
        """Return the output (batch, ...) of one part."""
        values = {**self.constants, **part, **changed}
        for call, dies in zip(self.calls, self.dies, strict=True):
            values[call.result] = call.run(values)
            for dead in dies:
                del values[dead]
        result = values[self.replay.output]
        assert isinstance(result, Tensor)
        return result
