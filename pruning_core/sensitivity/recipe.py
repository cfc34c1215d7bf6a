"""`Recipe`: all that a process needs to measure cells of a sweep as every other process would."""

from dataclasses import dataclass

from pruning_core.data import EvalData
from pruning_core.errors import WorkersError
from pruning_core.model import Model
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.devices import CPU, device_for
from pruning_core.sensitivity.forks import ActivationForks, Forks, StackedForks, WeightForks
from pruning_core.sensitivity.plain import PlainForks, PlainWalk
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.request import Request
from pruning_core.sensitivity.scope import Scope, scope_of
from pruning_core.sensitivity.trust import EXAMPLES, CannotReplay, check_replay
from pruning_core.sensitivity.worker import Worker


@dataclass(frozen=True, eq=False)
class Recipe:
    """What to sweep: a model, the examples (all of them are used), what calibration sees, the request, and where."""

    model: Model
    data: EvalData
    calibration: EvalData | None
    request: Request
    device: str = CPU

    def worker(self, ranking: Ranking | None = None, replay: Replay | None = None) -> tuple[Worker, Scope]:
        """Return a worker with the cells that it can measure; ranks and graph are taken where they are known."""
        ranking = (ranking or Ranking(self.model, self.calibration)).under(self.request)
        scope = scope_of(self.model, self.request, ranking)
        if replay is None or replay.coupling is not ranking.norms:
            replay = Replay(self.model.graph, ranking.norms)
        replay = replay.to(device_for(self.device))
        try:
            check_replay(self.model, replay, self.data.prepared(slice(EXAMPLES)))
        except CannotReplay as error:
            if self.request.target == "activations":
                raise
            return self._plain(ranking, f"{error}; so the whole model ran for each cell, which is slower"), scope
        forks: Forks
        if self.request.target == "activations":
            if self.device != CPU:
                raise WorkersError(
                    f"activation sparsity is measured on the processor, not on {self.device}; leave the device out"
                )
            forks = ActivationForks(self.model.graph, replay)
        else:
            kind = WeightForks if self.device == CPU else StackedForks
            forks = kind(replay, ranking, self.request, scope)
        return Worker(self.data, replay, forks), scope

    def _plain(self, ranking: Ranking, notice: str) -> Worker:
        walk = PlainWalk(self.model.module, self.data.prepared(slice(1)))
        return Worker(self.data, walk, PlainForks(self.model, ranking, self.request), notice)
