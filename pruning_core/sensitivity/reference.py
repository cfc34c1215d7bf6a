"""`Reference`: the dense model and its answers on the validation data, computed once and shared by all sessions."""

from collections.abc import Mapping
from functools import cached_property
from threading import RLock
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.coupling import Coupling
from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import DataError
from pruning_core.metrics.structure import Structure
from pruning_core.model import Model
from pruning_core.positions import are_scores
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.answers import Answers, answers_on
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.trust import EXAMPLES, check_replay

CHUNKS = (100, 156)  # examples of the first chunk, and of each later one: the first answer comes early


class Reference:
    """The dense model and its answers on the validation data; holds no plan, so sessions may share it."""

    def __init__(self, model: Model, dataset: Dataset | None = None) -> None:
        self.model = model
        self.dataset = dataset
        self.ranking = Ranking(model, dataset.calibration if dataset else None)
        self._replays: dict[Coupling | None, Replay] = {}
        self._answers: dict[int, Answers] = {}
        self._seconds_per_example = 0.0
        self._lock = RLock()
        if dataset:
            check_fits(dataset.validation, model.graph)

    @cached_property
    def structure(self) -> Structure:
        """What the dense model is made of."""
        return Structure.from_counts(self.model.graph, {})

    @property
    def replay(self) -> Replay:
        """The graph prepared for forks; a model that it would measure wrongly is refused."""
        return self.replay_under(None)

    def replay_under(self, coupling: Coupling | None) -> Replay:
        """Return the graph prepared for forks whose norms may lose channels of `coupling`, made once for each."""
        if (known := self._replays.get(coupling)) is not None:
            return known  # without waiting for who measures
        with self._lock:
            if coupling not in self._replays:
                replay = Replay(self.model.graph, coupling)
                if self.dataset:
                    check_replay(self.model, replay, self.dataset.validation.prepared(slice(EXAMPLES)))
                self._replays[coupling] = replay
            return self._replays[coupling]

    @cached_property
    def chunks(self) -> tuple[NDArray[np.int64], ...]:
        """Example numbers of the validation split, in a fixed random order, cut into chunks."""
        order = torch.randperm(len(self.validation), generator=torch.Generator().manual_seed(0)).numpy()
        cuts = range(CHUNKS[0], len(order), CHUNKS[1])
        return tuple(order[a:b] for a, b in zip((0, *cuts), (*cuts, len(order)), strict=True))

    @property
    def n_examples(self) -> int:
        """Examples that a plan is measured on."""
        return len(self.validation) if self.dataset else 0

    @property
    def validation(self) -> EvalData:
        """The examples that plans are measured on, or a refusal."""
        if self.dataset is None:
            raise DataError("without data there is no accuracy; add data")
        return self.dataset.validation

    @property
    def is_scored(self) -> bool:
        """Whether outputs are class scores; numbers agree with those of the dense model more or less."""
        return not self.validation.is_regression and are_scores(self.model.graph.output_shape)

    def start(self, chunk: int, replay: Replay | None = None) -> Frontier:
        """Return the frontier of `replay` (that without options) before the first node for one chunk of examples."""
        return (replay or self.replay).start(*self.validation.prepared(self.chunks[chunk]))

    def answers(self, chunk: int) -> Answers:
        """Return what the dense model answers on one chunk, computed once."""
        with self._lock, torch.inference_mode():
            if chunk not in self._answers:
                indices = self.chunks[chunk]
                frontier, started = self.start(chunk), perf_counter()
                logits = self.replay.outputs(frontier)
                self._seconds_per_example = (perf_counter() - started) / len(indices)
                self._answers[chunk] = answers_on(self.validation, indices, logits)
            return self._answers[chunk]

    def dense_logits(self, chunk: int) -> Tensor:
        """Return the dense model's outputs (batch, classes) on one chunk."""
        return self.answers(chunk).logits

    def seconds_for(self, n_cells_by_layer: Mapping[str, int], samples: int) -> float:
        """Return about how long a sweep of these cells takes, from the time that the dense model took."""
        self.answers(0)
        macs = sum(self.replay.fork_macs[name] * n for name, n in n_cells_by_layer.items())
        return self._seconds_per_example * samples * (1 + macs / max(1, self.model.graph.macs))

    @property
    def dense_so_far(self) -> Tally:
        """The dense model over the examples that were measured already; nothing is computed."""
        return sum((answers.dense for answers in list(self._answers.values())), Tally())

    @cached_property
    def dense(self) -> Tally:
        """The dense model over all validation examples."""
        return sum((self.answers(i).dense for i in range(len(self.chunks))), Tally())
