"""`Driver`: decides which cell sees which examples next, and when a cell is known well enough.

All that it decides depends on results alone, and results are kept by (cell, block). So a sweep that was killed goes on
as if nothing had happened, and any executor gives the same cells.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import EvalData
from pruning_core.errors import PruningError
from pruning_core.sensitivity.answers import answers_on
from pruning_core.sensitivity.brackets import anchors, brackets
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.cuts import Cuts, order_from_json, order_to_json, preview_chunks
from pruning_core.sensitivity.evaluators import EXAMPLES
from pruning_core.sensitivity.lines import Key, Line
from pruning_core.sensitivity.order import order_by, preview_of
from pruning_core.sensitivity.passes import Passes
from pruning_core.sensitivity.scope import Scope
from pruning_core.sensitivity.store import Record
from pruning_core.sensitivity.tally import Tally
from pruning_core.sensitivity.tasks import Executor
from pruning_core.sensitivity.worker import Worker, chunk_size

KEPT_BYTES = 32 << 20  # of dense outputs, kept so that they are computed once
WORTH_TIMING = 3e11  # multiply-accumulates, some seconds: timing evaluators takes about half of one


class Driver:
    """Runs one sweep: a preview of all cells, then each cell until it is settled, bracketed or exact."""

    def __init__(
        self, scope: Scope, worker: Worker, executor: Executor, record: Record, cancelled: Callable[[], bool]
    ) -> None:
        self.scope, self.worker, self.record, self.cancelled = scope, worker, record, cancelled
        self.data: EvalData = worker.data
        self.size = chunk_size(worker.replay)
        forks = worker.forks
        self.lines = {
            (layer, level): Line(layer, level, forks.measured_sparsity(layer, level), len(self.data))
            for layer, level in scope.cells
        }
        self.levels, self.twins = self._without_twins()
        self.keys = tuple((layer, level) for layer, levels in self.levels.items() for level in levels)
        self.passes = Passes(self.lines, worker, executor, record, cancelled)
        self.dense = Tally()  # the dense model, on all examples once the preview is there

    def run(self, exact: bool) -> Iterator[Cell]:
        """Yield each cell whenever more is known of it."""
        for cell in self._run(exact):
            yield cell
            for twin in self.twins.get((cell.layer, cell.sparsity), ()):
                self.lines[twin].cell = replace(cell, sparsity=twin[1])
                yield self.lines[twin].cell

    def _without_twins(self) -> tuple[dict[str, list[float]], dict[Key, list[Key]]]:
        """Return the levels to measure, and for each the others that remove the same, as layers of few blocks have."""
        levels: dict[str, list[float]] = {}
        twins: dict[Key, list[Key]] = {}
        first: dict[tuple[str, float], Key] = {}
        for key, line in self.lines.items():
            one = first.setdefault((line.layer, line.cell.measured_sparsity), key)
            if one == key:
                levels.setdefault(line.layer, []).append(line.sparsity)
            else:
                twins.setdefault(one, []).append(key)
        return levels, twins

    def _run(self, exact: bool) -> Iterator[Cell]:
        yield from self.passes.run({0: preview_chunks(preview_of(len(self.data)), self.size)}, self.keys)
        cuts = self._cuts()
        if cuts is None:
            return
        for key in self.keys:
            self.lines[key].learn(cuts)
        self.passes.choice = self.record.decided("evaluators", lambda: self._choice(exact))
        yield from self._exact(cuts) if exact or cuts.n_blocks == 1 else self._anytime(cuts)

    def _choice(self, exact: bool) -> dict[str, str]:
        """Time the evaluators, where the work is large enough to repay it."""
        forks = self.worker.forks
        work = sum(forks.macs(layer) for layer, _ in self.keys) * len(self.data) * (1.0 if exact else 0.2)
        if work < WORTH_TIMING:
            return {}
        inputs = self.data.prepared(preview_of(len(self.data))[:EXAMPLES])
        with torch.inference_mode():
            return forks.choose(self.worker.replay.start(*inputs))

    def _exact(self, cuts: Cuts) -> Iterator[Cell]:
        blocks = {block: cuts.chunks(block) for block in range(1, cuts.n_blocks)}
        yield from self.passes.run(blocks, self.keys)
        yield from self._closed(self.keys)

    def _anytime(self, cuts: Cuts) -> Iterator[Cell]:
        wanted = self._wanted()
        while wanted and not self.cancelled():
            for block in range(1, cuts.n_blocks):
                active = [key for key in wanted if not self.lines[key].cell.done]
                if active:
                    yield from self.passes.run({block: cuts.chunks(block)}, active)
                    yield from self._closed(active)
            if not self.cancelled() and not all(self.lines[key].cell.done for key in wanted):
                raise PruningError("some cells were not measured, though nothing stopped the sweep; start it again")
            yield from self._bracket()
            wanted = self._wanted()

    def _closed(self, keys: Iterable[Key]) -> Iterator[Cell]:
        for key in keys:
            if self.lines[key].close():
                yield self.lines[key].cell

    def _bracket(self) -> Iterator[Cell]:
        for layer, levels in self.levels.items():
            for level, figure in brackets([self.lines[layer, level].cell for level in levels]).items():
                if self.lines[layer, level].bracket(figure):
                    yield self.lines[layer, level].cell

    def _wanted(self) -> list[Key]:
        """Return the cells to measure next, of all that are still open."""
        found: list[Key] = []
        for layer, levels in self.levels.items():
            cells = [self.lines[layer, level].cell for level in levels]
            chosen = anchors([cell for cell in cells if cell.strata and not cell.done])
            found += [(layer, level) for level in levels if level in chosen]
        return found

    def _cuts(self) -> Cuts | None:
        """Let the dense model answer all examples; the order that follows from its margins is kept for ever."""
        seen, answers, outputs, n_classes = [], [], list[NDArray[np.float32]](), 1
        for chunk in preview_chunks(np.arange(len(self.data)), self.size):
            if self.cancelled():
                return None
            logits = self.worker.dense(chunk)
            if logits[:1].nbytes * len(self.data) <= KEPT_BYTES:  # of a language model all would not fit
                outputs.append(logits.float().numpy())
            found = answers_on(self.data, chunk.examples, logits)
            classes, n_classes = found.classes
            self.dense += found.dense
            seen.append(found.margins)
            answers.append(classes)
        order = order_by(np.concatenate(seen), np.concatenate(answers), n_classes)
        kept = self.record.settled("order", order_to_json(order))
        return Cuts(order_from_json(kept), self.size, np.concatenate(outputs) if outputs else None)
