"""`Passes`: lets an executor measure cells on blocks of examples, and keeps what comes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.lines import Key, Line, Tallies
from pruning_core.sensitivity.store import Record
from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.tasks import Chunk, Executor, Task
from pruning_core.sensitivity.worker import Worker

ATTEMPTS = 3  # of a cell that fails, before it is given up
KEPT_BYTES = 32 << 20  # of activations, for all chunks of a task

Blocks = Mapping[int, Sequence[Chunk]]


class Passes:
    """Runs tasks and gives their results to the lines of the cells, by way of the record."""

    def __init__(
        self,
        lines: Mapping[Key, Line],
        worker: Worker,
        executor: Executor,
        record: Record,
        cancelled: Callable[[], bool],
    ) -> None:
        self.lines, self.worker, self.executor, self.record, self.cancelled = lines, worker, executor, record, cancelled
        self.choice: dict[str, str] = {}  # of evaluators, once it is made
        self.recalling = False  # the cell just yielded was measured before this run
        self._parts: dict[tuple[str, float, int], dict[int, Tallies]] = defaultdict(dict)

    def run(self, blocks: Blocks, wanted: Sequence[Key]) -> Iterator[Cell]:
        """Yield the wanted cells as they see the blocks: what the record knows first, then what is measured."""
        self.recalling = True
        yield from self._recall(blocks, wanted)
        self.recalling = False
        for attempt in range(1, ATTEMPTS + 1):
            failed: dict[Key, str] = {}
            for task in self._tasks(blocks, wanted):
                yield from self._measured(task, blocks, failed)
            if not failed:
                break
            for key, why in failed.items() if attempt == ATTEMPTS else ():
                yield self.lines[key].fail(why)

    def _recall(self, blocks: Blocks, wanted: Sequence[Key]) -> Iterator[Cell]:
        for key in wanted:
            known = [block for block in blocks if (*key, block) in self.record.known]
            for block in known:
                cell = self.lines[key].add(block, self.record.known[*key, block])
            if known:
                yield cell

    def _tasks(self, blocks: Blocks, wanted: Sequence[Key]) -> Iterator[Task]:
        """Yield tasks for what is missing; blocks that the same cells miss go together, as far as memory allows."""
        missing: dict[tuple[Key, ...], list[Chunk]] = defaultdict(list)
        for block, chunks in blocks.items():
            cells = tuple(
                key for key in wanted if block not in self.lines[key].blocks and not self.lines[key].cell.done
            )
            if cells:
                missing[cells] += chunks
        for cells, chunks in missing.items():
            levels: dict[str, tuple[float, ...]] = {}
            for layer, level in cells:
                levels[layer] = (*levels.get(layer, ()), level)
            start = 0
            while start < len(chunks) and not self.cancelled():
                end = start + self._fit(chunks[start:])
                yield Task(tuple(chunks[start:end]), levels, self.choice)
                start = end

    def _fit(self, chunks: Sequence[Chunk]) -> int:
        """Return how many chunks may walk the graph together; a block is not torn where it fits whole."""
        taken = self.worker.bytes_per_example or self.worker.replay.example_bytes
        most, n, whole = KEPT_BYTES * self.executor.n_workers / max(1.0, taken), 0, 0
        for i, chunk in enumerate(chunks):
            n += len(chunk.examples)
            if n > most and i:
                return whole or i
            if i + 1 == len(chunks) or chunks[i + 1].block != chunk.block:
                whole = i + 1
        return len(chunks)

    def _measured(self, task: Task, blocks: Blocks, failed: dict[Key, str]) -> Iterator[Cell]:
        for result in self.executor.run(task, self.cancelled):
            key = result.layer, result.sparsity
            if result.error:
                failed[key] = result.error
                continue
            parts = self._parts[*key, result.block]
            parts[result.chunk] = result.tallies
            if len(parts) == len(blocks[result.block]):
                yield self._keep(key, result.block, _added([parts[number] for number in sorted(parts)]))

    def _keep(self, key: Key, block: int, tallies: Tallies) -> Cell:
        del self._parts[*key, block]
        self.record.put(*key, block, tallies)
        return self.lines[key].add(block, tallies)


def _added(parts: Sequence[Tallies]) -> Tallies:
    """Return the sums by stratum; in the order of the chunks, so that they are the same to the last digit."""
    return parts[0] if len(parts) == 1 else tuple(sum(column, Tally()) for column in zip(*parts, strict=True))
