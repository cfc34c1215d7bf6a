"""Forks in ONNX Runtime: one session for the part of the graph behind each layer, for all levels of the layer."""

from pruning_core.sensitivity.evaluators import onnx_operators, onnx_shapes  # noqa: F401  (they fill the table)
from pruning_core.sensitivity.evaluators.fusion import Fusion, is_available
from pruning_core.sensitivity.evaluators.parts import PartsEvaluator
from pruning_core.sensitivity.evaluators.seam import evaluator
from pruning_core.sensitivity.evaluators.suffix import Suffix
from pruning_core.sensitivity.replay import Replay


@evaluator("onnxruntime", "ONNX Runtime")
class OnnxRuntimeEvaluator(PartsEvaluator[Suffix]):
    """Sessions hold copies of the weights behind their layer, so only so many are kept."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay)
        self._fusion = Fusion(replay, replay.constants) if is_available() else None

    def make(self, changed: frozenset[int]) -> Suffix:
        """Return the head of a route, and the session of the rest."""
        return Suffix(self.replay, self.batch, self._fusion, changed)
