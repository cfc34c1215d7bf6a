"""Forks in torch, as `Replay` runs them: every model can."""

from torch import Tensor

from pruning_core.sensitivity.evaluators.seam import evaluator
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values


@evaluator("torch", "PyTorch eager")
class TorchEvaluator:
    """The yardstick that all others are compared with."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        return self.replay.fork_changed(frontier, changed)
