"""Worker processes that are kept warm: who takes one, and what happens when one dies."""

from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import Any

from explorer.worker import Control, Died, Worker

RETRIES = 3  # of a task whose worker died
SPARE_SECONDS = 300.0  # that a second worker is kept idle: each holds torch and a model


class Pool:
    """Workers that are idle and warm; others are started when they are asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._all: list[Worker] = []
        self._idle: list[Worker] = []

    def run(
        self,
        control: Control,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        note: Callable[[Sequence[Any]], None],
        resumable: bool = False,
    ) -> Any:
        """Run a task in a worker; where that dies, a resumable task is begun anew, up to three times."""
        deaths = 0
        while True:
            worker = self._take()
            try:
                return worker.run(control, function, arguments, note)
            except Died as died:
                deaths += 1
                if deaths > RETRIES or (died.begun and not resumable):
                    raise
            finally:
                self._give_back(worker)

    def warm(self) -> None:
        """Keep one worker, so that the next task need not wait for torch to load; end others that idle for long."""
        with self._lock:
            if not self._all:
                self._start()
            long_ago = monotonic() - SPARE_SECONDS
            for worker in [each for each in self._idle if each.idle_since < long_ago][: len(self._all) - 1]:
                self._idle.remove(worker)
                self._all.remove(worker)
                worker.kill()

    def close(self) -> None:
        """End all workers at once."""
        with self._lock:
            for worker in self._all:
                worker.kill()
            self._all, self._idle = [], []

    def _take(self) -> Worker:
        with self._lock:
            ended = [worker for worker in self._idle if not worker.alive]
            self._all = [worker for worker in self._all if worker not in ended]
            self._idle = [worker for worker in self._idle if worker not in ended]
            if not self._idle:
                self._start()
            return self._idle.pop()

    def _start(self) -> None:
        worker = Worker()
        self._all.append(worker)
        self._idle.append(worker)

    def _give_back(self, worker: Worker) -> None:
        """Keep a worker for the next task; one that ended is replaced, so that the next task finds a warm one."""
        with self._lock:
            if worker.alive:
                worker.idle_since = monotonic()
                self._idle.append(worker)
            elif worker in self._all:
                self._all.remove(worker)
                self._start()


POOL = Pool()
