"""Forks in ONNX Runtime: one session for the part of the graph behind each layer, for all levels of the layer."""

from collections import OrderedDict
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators import onnx_operators, onnx_shapes  # noqa: F401  (they fill the table)
from pruning_core.sensitivity.evaluators.batch import Batch
from pruning_core.sensitivity.evaluators.seam import evaluator
from pruning_core.sensitivity.evaluators.suffix import Part, Suffix
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values

KEPT_BYTES = 256 << 20  # of the constants in all sessions


@evaluator("onnxruntime", "ONNX Runtime")
class OnnxRuntimeEvaluator:
    """Sessions are made when first needed and given up, the longest unused first, when they grow too large."""

    def __init__(self, replay: Replay) -> None:
        self.replay, self._batch = replay, Batch(replay.nodes)
        self._suffixes: OrderedDict[frozenset[int], Suffix] = OrderedDict()
        self._last: tuple[ReferenceType[Frontier], int, Suffix, list[Part]] | None = None

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        suffix = self._suffix(changed)
        parts = self._parts(self.replay.enter(frontier, self.replay.route(changed)), suffix)
        outputs = [suffix.run(part, changed) for part in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _suffix(self, changed: Values) -> Suffix:
        key = frozenset(changed)
        if key not in self._suffixes:
            self._suffixes[key] = Suffix(self.replay, self._batch, self.replay.route(key), key)
        self._suffixes.move_to_end(key)
        while len(self._suffixes) > 1 and sum(suffix.n_bytes for suffix in self._suffixes.values()) > KEPT_BYTES:
            self._suffixes.popitem(last=False)
        return self._suffixes[key]

    def _parts(self, frontier: Frontier, suffix: Suffix) -> list[Part]:
        """Cut the frontier once for all levels of a layer."""
        if self._last is not None:
            known, position, of, parts = self._last
            if known() is frontier and position == frontier.position and of is suffix:
                return parts
        parts = suffix.parts(frontier.values)
        self._last = ref(frontier), frontier.position, suffix, parts
        return parts
