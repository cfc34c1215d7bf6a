"""`Shared`: what the rankings of one model have in common, whatever the options of the plan."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from pruning_core.coupling import Options
from pruning_core.data import EvalData
from pruning_core.model import Model
from pruning_core.plan import PlanOptions
from pruning_core.ranking.calibration import Calibration
from pruning_core.ranking.scoring import Scoring

if TYPE_CHECKING:
    from pruning_core.ranking.ranking import Ranking


class Shared:
    """What calibration observed; scores and ranks, which depend on the coupling; and the rankings made so far."""

    def __init__(self, model: Model, data: EvalData | None) -> None:
        self.model, self.observed = model, Calibration(model.graph, data)
        self.rankings: dict[tuple[int, Options], Ranking] = {}
        self.lock = RLock()
        self._scorings: dict[Options, Scoring] = {}

    def scoring(self, options: Options) -> Scoring:
        """Return the scoring for one coupling, made once."""
        with self.lock:
            return self._scorings.setdefault(options, Scoring(self.model, self.observed, options))


def key_of(options: PlanOptions) -> tuple[int, Options]:
    """Return what tells rankings apart: the multiple of channels, and what the coupling depends on."""
    return options.channel_multiple, Options(options.through_norms, options.heads)
