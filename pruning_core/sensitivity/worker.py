"""`Worker`: measures cells on chunks of examples. What is measured when, and what it means, is decided elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Protocol

import torch
from torch import Tensor

from pruning_core.data import EvalData
from pruning_core.errors import Cancelled, ModelError, PruningError
from pruning_core.sensitivity.answers import answers_on
from pruning_core.sensitivity.forks import Forks
from pruning_core.sensitivity.replay import Frontier
from pruning_core.sensitivity.tasks import Chunk, Result, Task

CHUNKS = (64, 512)  # examples that walk the graph at a time, at least and at most
CHUNK_BYTES = 4 << 20  # all values of a chunk, where the bounds allow: small ones stay in the processor's cache
KEPT_BYTES = 24 << 20  # values that are kept for the chunks of one task


class Walk(Protocol):
    """The dense model, walked from node to node; as `Replay` does it."""

    example_bytes: int

    def start(self, *inputs: Tensor) -> Frontier: ...

    def advance(self, frontier: Frontier, position: int) -> Frontier: ...

    def outputs(self, frontier: Frontier) -> Tensor: ...

    def complete(self, frontier: Frontier) -> Tensor: ...


def chunk_size(replay: Walk) -> int:
    """Return how many examples walk the graph at a time."""
    fewest, most = CHUNKS
    return min(most, max(fewest, CHUNK_BYTES // max(1, replay.example_bytes)))


class Worker:
    """Holds what the cells of one sweep need; made once in each process that measures."""

    def __init__(self, data: EvalData, replay: Walk, forks: Forks, notice: str = "") -> None:
        self.data, self.replay, self.forks, self.notice = data, replay, forks, notice
        self.bytes_per_example = 0.0  # most that the values kept of an example took in the last task

    def dense(self, chunk: Chunk) -> Tensor:
        """Return the dense model's outputs (n, classes)."""
        with _dense_walk(len(chunk.examples)):
            return self.replay.outputs(self.replay.start(*self.data.prepared(chunk.examples))).cpu()

    def measure(self, task: Task, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Result]:
        """Yield a result for each cell and chunk, layer by layer; a cell that fails says why and others go on."""
        self.forks.use(task.choice)
        examples = sum(len(chunk.examples) for chunk in task.chunks)
        all_fit = self.replay.example_bytes * examples <= KEPT_BYTES  # then dense values are computed once, not twice
        chunks = [_Chunk(self, chunk, all_fit) for chunk in task.chunks]
        self.bytes_per_example = 0.0
        for layer in sorted(task.cells, key=self.forks.position):
            for chunk in chunks:
                chunk.advance(self.forks.position(layer))
            self._note_memory(chunks)
            levels = task.cells[layer]
            # Evaluators cut a frontier once for all levels, where these can be kept; else each is masked once for all.
            together = [levels] if self.forks.keeps(layer, len(levels)) else [(level,) for level in levels]
            for some, chunk in product(together, chunks):
                for result in chunk.results(layer, some):
                    yield result
                    if cancelled():
                        return

    def _note_memory(self, chunks: Sequence["_Chunk"]) -> None:
        taken = sum(chunk.frontier.n_bytes for chunk in chunks)
        examples = sum(len(chunk.about.examples) for chunk in chunks)
        self.bytes_per_example = max(self.bytes_per_example, taken / max(1, examples))


@contextmanager
def _dense_walk(n: int) -> Iterator[None]:
    """Let what torch says of a dense walk that fails, most often of memory, reach the user as a sentence."""
    try:
        with torch.inference_mode():
            yield
    except (RuntimeError, MemoryError) as error:
        why = _first_line(error)
        raise ModelError(f"the dense model cannot be run on {n} examples at a time: {why}; free some memory") from None


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


class _Chunk:
    """A chunk on its way through the graph."""

    def __init__(self, worker: Worker, about: Chunk, keep_all: bool) -> None:
        self.worker, self.about = worker, about
        data, replay = worker.data, worker.replay
        with _dense_walk(len(about.examples)):
            self.frontier: Frontier = replay.start(*data.prepared(about.examples))
            stratum = torch.from_numpy(about.stratum)
            self.answers = answers_on(data, about.examples, self._dense(keep_all), stratum, about.n_strata)

    def _dense(self, keep_all: bool) -> Tensor:
        if self.about.dense is not None:
            return torch.from_numpy(self.about.dense)
        replay = self.worker.replay
        return (replay.complete(self.frontier) if keep_all else replay.outputs(self.frontier)).cpu()

    def advance(self, position: int) -> None:
        with _dense_walk(len(self.about.examples)):
            self.worker.replay.advance(self.frontier, position)

    def results(self, layer: str, levels: Sequence[float]) -> Iterator[Result]:
        with torch.inference_mode():
            stacked = self.worker.forks.fork_levels(self.frontier, layer, levels)
        for i, sparsity in enumerate(levels):
            yield self._result(layer, sparsity, None if stacked is None else stacked[i])

    def _result(self, layer: str, sparsity: float, logits: Tensor | None) -> Result:
        where = layer, sparsity, self.about.block, self.about.number
        try:
            with torch.inference_mode():
                found = self.worker.forks.fork(self.frontier, layer, sparsity) if logits is None else logits
                return Result(*where, self.answers.tallies(found.cpu()))
        except Cancelled:
            raise
        except (PruningError, RuntimeError, MemoryError) as error:  # torch says RuntimeError when memory is short
            return Result(*where, error=f"{layer} at sparsity {sparsity:g}: {_first_line(error)}")
