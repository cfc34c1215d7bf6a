"""The program of a worker process: one task at a time, told over a pipe; it ends when the pipe does.

Standard input brings orders, standard output takes answers; what libraries print goes to the server's log. A thread
reads the orders, so that a task can be stopped, or the server can be gone, while the main thread computes.
"""

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from time import perf_counter, sleep
from typing import Any

from explorer import messages

NICENESS = 5  # pages go first
KEPT = 3  # models with their data
MESSAGE_SECONDS = 0.05  # between two messages about progress


def main() -> None:
    """Work until the server is gone."""
    orders, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the server decides
    if sys.platform != "win32":
        os.nice(NICENESS)
    Worker(orders, answers).work(_loaded)


class Stopped(Exception):
    """A task was stopped while its model was loaded."""


class Worker:
    """The task that runs now, what was asked of it, and the way back."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
        self._outbox = _Outbox(answers)
        self._changed = Condition()
        self._number = 0  # of the task that was ordered last
        self._current = 0  # of the task that runs
        self._stop = False
        self._hold = 0  # number of the hold for which it is to stand, 0 for none
        self.paused_seconds = 0.0
        Thread(target=self._listen, args=(orders,), daemon=True).start()

    def _listen(self, pipe: int) -> None:
        """Take orders; without a server nothing is left to do, whatever the main thread is at."""
        try:
            while True:
                kind, number, content = messages.read(pipe)
                with self._changed:
                    self._obey(kind, number, content)
                    self._changed.notify_all()
        finally:
            os._exit(0)

    def _obey(self, kind: str, number: int, content: Any) -> None:
        if kind == "run":
            self._number, self._stop, self._hold = number, False, 0
            self._orders.put((number, content))
        elif number != self._number:
            return  # it came too late
        elif kind == "cancel":
            self._stop = True
        elif kind == "hold":
            self._hold = content

    def work(self, load: Callable[[], tuple[Any, Any]]) -> None:
        """Carry out one task after the other; `load` returns what finds references, and the store."""
        self._find, self.store = load()
        while True:
            self._current, content = self._orders.get()
            self.paused_seconds = 0.0
            if not self._is_unwanted():
                self._tell("busy", True)
                self._tell(*self._answer(content))

    def _tell(self, kind: str, content: Any) -> None:
        self._outbox.put(kind, self._current, content)

    def _is_unwanted(self) -> bool:
        """Whether to stop: that was said, or another task was ordered since."""
        return self._stop or self._current != self._number

    def _answer(self, content: bytes) -> tuple[str, Any]:
        try:
            module, name, arguments = pickle.loads(content)
            return "done", pickle.dumps(getattr(import_module(module), name)(self, *arguments))
        except Stopped:
            return "cancelled", ""
        except Exception as error:
            return _how_it_failed(error), str(error)

    def reference(self, subject: Any) -> Any:
        """Return the loaded model and data. Loading ends by itself, so the server need not wait for its end to stop."""
        self._tell("busy", False)
        found = self._find(subject)
        self._tell("busy", True)
        if self.cancelled():
            raise Stopped
        return found

    def cancelled(self) -> bool:
        """Whether to stop; waits here while other work goes first."""
        with self._changed:
            while (hold := self._hold) and not self._is_unwanted():
                since = perf_counter()
                self._tell("stands", hold)
                self._changed.wait_for(lambda hold=hold: self._is_unwanted() or self._hold != hold)  # type: ignore[misc]
                self.paused_seconds += perf_counter() - since
            return self._is_unwanted()

    def note(self, progress: Any) -> None:
        """Tell how far the task is."""
        self._outbox.note(self._current, pickle.dumps(progress))


def _how_it_failed(error: Exception) -> str:
    from pruning_core.errors import Cancelled, PruningError

    if isinstance(error, PruningError):
        return "cancelled" if isinstance(error, Cancelled) else "refused"
    traceback.print_exception(error)
    return "defect"


def _loaded() -> tuple[Any, Any]:
    """Return what finds references and the store; all that takes seconds to import is so before the first task."""
    import torch

    from explorer.loading import Shelf
    from pruning_core import Model
    from pruning_core.sensitivity.store import Store

    torch.set_num_threads(1)
    linear = torch.nn.Linear(2, 2)
    _ = Model("first", linear, (torch.zeros(2, 2),)).graph  # the first trace loads torch's compiler
    return Shelf(KEPT).reference, Store()


class _Outbox:
    """Answers in order: those that decide go out at once, progress in batches, since cells come faster than pages."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._writing = Lock()
        self._changed = Condition()
        self._notes: list[bytes] = []
        self._number = 0
        Thread(target=self._send_notes, daemon=True).start()

    def put(self, kind: str, number: int, content: Any) -> None:
        """Send an answer, after the notes before it."""
        with self._writing:
            self._flush()
            messages.write(self._pipe, (kind, number, content))

    def note(self, number: int, content: bytes) -> None:
        """Let progress go out with the next batch."""
        with self._changed:
            self._number = number
            self._notes.append(content)
            self._changed.notify()

    def _send_notes(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._notes)
            try:
                with self._writing:
                    self._flush()
            except OSError:
                return  # the server is gone, which ends this process too
            sleep(MESSAGE_SECONDS)

    def _flush(self) -> None:
        with self._changed:
            batch, self._notes = self._notes, []
        if batch:
            messages.write(self._pipe, ("progress", self._number, batch))
