"""The executor that measures in processes of this machine; what one had that dies is measured again by others.

They are started afresh, never forked, since a copy of a process with torch's threads can hang.
"""

import pickle
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from pruning_core.errors import WorkersError
from pruning_core.sensitivity.executors.packing import HERE, packed
from pruning_core.sensitivity.executors.pieces import Cell, Piece, pieces_of
from pruning_core.sensitivity.executors.seam import Machines, executor
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor, Result, Task
from pruning_core.sensitivity.worker import Worker

DEATHS = 3  # of processes, at one cell or while they start, before it is given up
POLL_SECONDS = 0.05  # between two looks at whether to stop
PROGRAM = "import sys; sys.path[:] = {path!r}; from pruning_core.sensitivity.executors.child import main; main()"


@executor("processes")
@contextmanager
def processes(recipe: Recipe, worker: Worker, machines: Machines) -> Iterator[Executor]:
    """Measure in `machines.workers` processes that are started here and end with this one."""
    pool = Processes(packed(recipe), worker, machines.workers)
    try:
        yield pool
    finally:
        pool.close()


class Child:
    """One process, and the piece that it has in hand."""

    def __init__(self, content: bytes, answers: "SimpleQueue[tuple[Child, str, Any]]") -> None:
        command = [sys.executable, "-P", "-c", PROGRAM.format(path=sys.path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.is_ready = False
        self.piece: Piece | None = None
        self.measured: list[Cell] = []  # of the piece
        self._answers = answers
        self._thread = Thread(target=self._follow, args=(content,), daemon=True)
        self._thread.start()

    def _follow(self, content: bytes) -> None:
        """Send the model, then pass on what is answered, at last how the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            self.send(content)
            while True:
                self._answers.put((self, *pickle.load(self.process.stdout)))
        self.process.kill()
        self._answers.put((self, "ended", self.process.wait()))
        with suppress(OSError):  # what it did not read any more
            self.process.stdin.close()
        self.process.stdout.close()

    def send(self, message: Any) -> None:
        """Give it a message; one that has ended is noticed when it is listened to."""
        assert self.process.stdin is not None
        with suppress(OSError):
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def take(self, piece: Piece) -> None:
        """Let it measure a piece."""
        self.piece, self.measured = piece, []
        self.send(piece.task)

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self._thread.join()


class Processes:
    """Hands out pieces to processes, one at a time each."""

    def __init__(self, content: bytes, worker: Worker, n_workers: int) -> None:
        self.n_workers, self._content, self._forks = n_workers, content, worker.forks
        self._answers: SimpleQueue[tuple[Child, str, Any]] = SimpleQueue()
        self._deaths: Counter[Cell | None] = Counter()  # at which cell; None: at none
        self._given_up: dict[Cell, str] = {}
        self._children: list[Child] = []
        self._fill()

    def run(self, task: Task, cancelled: Callable[[], bool]) -> Iterator[Result]:
        """Yield a result for each cell and chunk of the task, in any order; ends early when cancelled."""
        waiting = deque(pieces_of(task, self.n_workers, self._forks.position, self._forks.macs))
        try:
            while waiting or any(child.piece for child in self._children):
                self._fill()
                yield from self._hand_out(waiting)
                answer = self._next_answer()
                if cancelled():
                    return
                if answer:
                    yield from self._take(*answer, waiting)
        finally:
            for child in [child for child in self._children if child.piece]:  # nobody waits for it any more
                self._remove(child)

    def _fill(self) -> None:
        while len(self._children) < self.n_workers:
            self._children.append(Child(self._content, self._answers))

    def _hand_out(self, waiting: "deque[Piece]") -> Iterator[Result]:
        """Give each idle process a piece, less the cells that were given up."""
        idle = [child for child in self._children if child.is_ready and not child.piece]
        while idle and waiting:
            piece = waiting.popleft()
            for cell in piece.cells:
                if cell in self._given_up:
                    yield piece.failed(cell, self._given_up[cell])
            if rest := piece.without(self._given_up):
                idle.pop().take(rest)

    def _next_answer(self) -> "tuple[Child, str, Any] | None":
        try:
            return self._answers.get(timeout=POLL_SECONDS)
        except Empty:
            return None

    def _take(self, child: Child, kind: str, content: Any, waiting: "deque[Piece]") -> Iterator[Result]:
        if child not in self._children:
            return
        if kind == "result":
            child.measured.append((content.layer, content.sparsity))
            yield content
        elif kind == "ready":
            child.is_ready, child.piece = True, None
            self._deaths[None] = 0
        elif kind == "ended":
            self._bury(child, content, waiting)
        else:
            raise WorkersError(content) if kind == "refused" else RuntimeError(content)

    def _bury(self, child: Child, code: int, waiting: "deque[Piece]") -> None:
        """Have what a process left measured by others, but for a cell at which several have ended."""
        self._remove(child)
        left = child.piece.without(child.measured) if child.piece else None
        suspect = left.cells[0] if left else None
        self._deaths[suspect] += 1
        if left:
            waiting.appendleft(left)
        if self._deaths[suspect] < DEATHS:
            return
        why = f"{DEATHS} processes that measure have ended {_how(code)}"
        if suspect is None:
            raise WorkersError(f"{why} while they started; {HERE}")
        self._given_up[suspect] = why

    def _remove(self, child: Child) -> None:
        self._children.remove(child)
        child.end()

    def close(self) -> None:
        """End all processes at once."""
        for child in self._children:
            child.process.kill()
        for child in tuple(self._children):
            self._remove(child)


def _how(code: int) -> str:
    if code == -9:
        return "killed, most often because memory ran out"
    return f"by signal {-code}" if code < 0 else f"with code {code}"
