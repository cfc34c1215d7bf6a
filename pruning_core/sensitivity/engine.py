"""The engine of the sweep: blocks of examples walk the graph together, and fork at every layer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import EvalData
from pruning_core.errors import DataError
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Change, Ranking
from pruning_core.sensitivity.answers import Answers
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.replay import Replay
from pruning_core.sensitivity.routes import Route
from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.trust import EXAMPLES, check_replay

PREVIEW = 64  # examples of the first block
CHUNKS = (64, 512)  # examples that walk the graph at a time, at least and at most
CHUNK_BYTES = 4 << 20  # all values of a chunk, where the bounds allow: small ones stay in the processor's cache
KEPT_BYTES = 256 << 20  # activations kept for one block


@dataclass(frozen=True)
class Job:
    """One layer and the wishes to measure for it."""

    name: str
    wishes: tuple[LayerPlan, ...]


def chunk_size(replay: Replay) -> int:
    """Return how many examples walk the graph at a time."""
    fewest, most = CHUNKS
    return min(most, max(fewest, CHUNK_BYTES // max(1, replay.example_bytes)))


class Block:
    """Some examples, cut into chunks that walk the graph together."""

    def __init__(self, replay: Replay, data: EvalData, indices: NDArray[np.int64]) -> None:
        self.replay, self.n, self.peak_bytes = replay, len(indices), 0
        chunk = chunk_size(replay)
        parts = [indices[i : i + chunk] for i in range(0, self.n, chunk)]
        with torch.inference_mode():
            self.frontiers = [replay.start(data.batch(part)) for part in parts]
            all_fit = replay.example_bytes * self.n <= KEPT_BYTES  # then the dense values are computed once, not twice
            dense = replay.complete if all_fit else replay.outputs
            logits = torch.cat([dense(frontier) for frontier in self.frontiers])
            self.answers = Answers(logits, None if data.targets is None else data.labels(indices))
        self.dense = self.answers.dense

    def advance(self, position: int) -> None:
        """Walk all chunks on to the node at `position`."""
        with torch.inference_mode():
            for frontier in self.frontiers:
                self.replay.advance(frontier, position)
        self.peak_bytes = max(self.peak_bytes, sum(frontier.n_bytes for frontier in self.frontiers))

    def fork(self, change: Change) -> Tally:
        """Return the tally of all chunks with what `change` masks and replaces."""
        with torch.inference_mode():
            changed = self.replay.changed(change)
            return self.answers.tally(torch.cat([self.replay.fork_changed(f, changed) for f in self.frontiers]))


@dataclass
class Engine:
    """Measures jobs block by block; yields each cell when a block of it is in."""

    model: Model
    data: EvalData
    ranking: Ranking
    replay: Replay
    cancelled: Callable[[], bool]
    dense: Tally = field(default_factory=Tally)  # the dense model on the examples so far
    _tallies: dict[tuple[str, float], Tally] = field(default_factory=dict)

    def run(self, jobs: list[Job]) -> Iterator[tuple[Cell, float]]:
        """Yield (cell, share of the work done)."""
        routes = {job.name: self._route(job) for job in jobs}
        jobs = sorted(jobs, key=lambda job: routes[job.name].position)
        costs = {name: max(1, route.macs) for name, route in routes.items()}
        total, spent = len(self.data) * sum(costs[job.name] * len(job.wishes) for job in jobs), 0
        for block in self._blocks():
            for job in jobs:
                if self.cancelled():
                    return
                block.advance(routes[job.name].position)
                for wish in job.wishes:
                    if self.cancelled():
                        return
                    spent += costs[job.name] * block.n
                    yield self._measure(block, job.name, wish), spent / total

    def _blocks(self) -> Iterator[Block]:
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(0)).numpy()
        check_replay(self.model, self.replay, self.data.batch(order[:EXAMPLES]))
        start, size = 0, PREVIEW
        while start < len(order) and not self.cancelled():
            block = Block(self.replay, self.data, order[start : start + size])
            self.dense += block.dense
            yield block
            start += size
            chunk = chunk_size(self.replay)
            size = max(chunk, int(KEPT_BYTES / max(1, block.peak_bytes / block.n)) // chunk * chunk)

    def _measure(self, block: Block, name: str, wish: LayerPlan) -> Cell:
        change, key = self.ranking.change(name, wish), (name, wish.sparsity)
        try:
            counted = block.fork(change)
        except DataError as error:
            raise DataError(f"{name} at sparsity {wish.sparsity:g}: {error}") from None
        tally = self._tallies[key] = self._tallies.get(key, Tally()) + counted
        total, kept = self.model.graph.layer(name).n_weights, self.ranking.n_kept_weights(name, wish)
        return Cell(name, wish.sparsity, (total - kept) / total, tally, tally.n == len(self.data))

    def _route(self, job: Job) -> Route:
        """Return what the widest wish of a job runs again; the others run no more."""
        change = self.ranking.change(job.name, max(job.wishes, key=lambda wish: wish.sparsity))
        return self.replay.route(self.replay.changed(change))
