"""Forks in 16 bits: about twice as fast where the processor has such instructions, and for previews only.

Near ties fall the other way, so it is never chosen by itself; `agreement` says how often its answers are the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators.fusion import Fusion
from pruning_core.sensitivity.evaluators.onednn import OneDnnEvaluator
from pruning_core.sensitivity.evaluators.seam import EVALUATORS, evaluator
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values


@evaluator("bfloat16", "oneDNN in 16 bits", is_exact=False)
class Bfloat16Evaluator(OneDnnEvaluator):
    """oneDNN's fused operators on weights and activations of 16 bits; the answers are of 32."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay)
        self.fusion = Fusion(replay, {place: _short(value) for place, value in replay.constants.items()})
        self._short: tuple[Frontier, int, Frontier] | None = None

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`."""
        frontier = self.replay.enter(frontier, self.replay.route(changed))
        short = {place: _short(value) for place, value in changed.items()}
        return super().fork(self._shortened(frontier), short).float()

    def _shortened(self, frontier: Frontier) -> Frontier:
        """Shorten the values of a frontier once for all levels of a layer."""
        known = self._short
        if known is None or known[0] is not frontier or known[1] != frontier.position:
            values = {place: _short(value) for place, value in frontier.values.items()}
            self._short = known = frontier, frontier.position, Frontier(frontier.position, values)
        return known[2]


def agreement(name: str, replay: Replay, frontier: Frontier, forks: Sequence[Values]) -> float:
    """Return the share of answers that evaluator `name` gives as torch does, over examples and forks."""
    made, same, n = EVALUATORS[name].make(replay), 0, 0
    for changed in sorted(forks, key=lambda changed: replay.route(changed).position):
        frontier = replay.enter(frontier, replay.route(changed))
        found, expected = made.fork(frontier, changed).argmax(-1), replay.fork_changed(frontier, changed).argmax(-1)
        same, n = same + int((found == expected).sum()), n + found.numel()
    return same / n


def _short(value: Any) -> Any:
    return value.bfloat16() if isinstance(value, Tensor) and value.dtype == torch.float32 else value
