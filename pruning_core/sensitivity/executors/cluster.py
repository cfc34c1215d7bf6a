"""The executor that measures on a Dask cluster: each worker is sent the model once, pieces of tasks are futures.

Dask gives what a dead worker had to others, and gives up what took several with it (`allowed-failures`, 3). Such a
piece is measured cell by cell then, one at a time, so that only the cell that does it fails.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from pruning_core.errors import WorkersError
from pruning_core.sensitivity.executors.packing import HERE, packed
from pruning_core.sensitivity.executors.pieces import Cell, Piece, pieces_of
from pruning_core.sensitivity.executors.seam import Machines, executor
from pruning_core.sensitivity.executors.watch import Watch
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Executor, Result, Task
from pruning_core.sensitivity.worker import Worker

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.05  # between two looks at whether to stop
RESULT_SECONDS = 1.0  # to fetch the results of a piece
INSTALL = "install the same versions on all machines"


@executor("dask")
@contextmanager
def dask(recipe: Recipe, worker: Worker, machines: Machines) -> Iterator[Executor]:
    """Measure on all workers of the cluster at `machines.cluster`."""
    content, address = packed(recipe), str(machines.cluster)
    with _connected(address) as client, Cluster(client, address, content, worker) as cluster:
        yield cluster


@contextmanager
def _connected(address: str) -> "Iterator[Client]":
    try:
        from distributed import Client, Security
    except ImportError:
        raise WorkersError("a cluster needs Dask; pip install 'pruning-explorer[cluster]'") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it is said in a sentence instead
    try:
        certified = Security().get_connection_args("client")
        if address.startswith("tls://") and not certified["ssl_context"]:
            raise OSError("it asks for certificates, and none are set")
        if certified["require_encryption"] and not address.startswith("tls://"):
            raise OSError("Dask's settings ask for an address that begins with tls://")
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # a time-out is an OSError
        reason = str(error).split("\n")[0]
        raise WorkersError(f"no Dask scheduler answers at '{address}' ({reason}); start one, or {HERE}") from None
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


class Cluster:
    """While a `with` lasts, hands out pieces to the workers of a cluster."""

    def __init__(self, client: "Client", address: str, content: bytes, worker: Worker) -> None:
        from pruning_core.sensitivity.executors import machine

        self.client, self.machine = client, machine
        self.watch = Watch(client, address, self._send)
        self._content, self._forks = content, worker.forks
        self._sweep = uuid4().hex
        self._done: SimpleQueue[Future] = SimpleQueue()
        self._given_up: dict[Cell, str] = {}
        self.n_workers = 1
        self._alone = False  # whether pieces are measured one at a time

    def __enter__(self) -> Self:
        """Send the model to all workers; those that come later get it when they are seen."""
        try:
            self.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise WorkersError(
                f"the Dask cluster at '{self.watch.address}' has no workers; start some with "
                f"'dask worker {self.watch.address}', or {HERE}"
            ) from None
        self.watch.look()
        self.watch.start()
        return self

    def _send(self, to: list[str]) -> None:
        here = self.machine.versions()
        answers = self.client.run(self.machine.receive, self._sweep, self._content, workers=to, on_error="return")
        for address, there in answers.items():
            if isinstance(there, OSError):
                continue  # it died; Dask notices
            if isinstance(there, BaseException):
                raise WorkersError(f"the worker at '{address}' cannot measure ({there}); {INSTALL}")
            for name in here:
                if there[name] != here[name]:
                    raise WorkersError(
                        f"the worker at '{address}' has {name} {there[name]}, not {here[name]}; {INSTALL}"
                    )

    def run(self, task: Task, cancelled: Callable[[], bool]) -> Iterator[Result]:
        """Yield a result for each cell and chunk of the task, in any order; ends early when cancelled."""
        self.n_workers = max(1, self.watch.n_workers)
        self._alone = False
        waiting = deque(pieces_of(task, self.n_workers, self._forks.position, self._forks.macs))
        suspects: deque[Piece] = deque()  # each a single cell, measured when nothing else is
        in_hand: dict[str, tuple[Piece, Future]] = {}
        try:
            while waiting or in_hand or suspects:
                if not waiting and not in_hand:
                    self._alone = True
                    waiting.append(suspects.popleft())
                yield from self._hand_out(waiting, in_hand)
                future = self._next_done()
                if cancelled():
                    return
                self.watch.check()
                if future is not None and future.key in in_hand:
                    piece, _ = in_hand.pop(future.key)
                    yield from self._take(future, piece, waiting, suspects)
        finally:
            if in_hand and self.watch.is_there:
                self.client.cancel([future for _, future in in_hand.values()])

    def _hand_out(self, waiting: "deque[Piece]", in_hand: "dict[str, tuple[Piece, Future]]") -> Iterator[Result]:
        while waiting:
            piece = waiting.popleft()
            for cell in piece.cells:
                if cell in self._given_up:
                    yield piece.failed(cell, self._given_up[cell])
            if rest := piece.without(self._given_up):
                future = self.client.submit(self.machine.measure, self._sweep, rest.task, pure=False)
                in_hand[future.key] = rest, future
                future.add_done_callback(self._done.put)

    def _next_done(self) -> "Future | None":
        try:
            return self._done.get(timeout=POLL_SECONDS)
        except Empty:
            return None

    def _take(
        self, future: "Future", piece: Piece, waiting: "deque[Piece]", suspects: "deque[Piece]"
    ) -> Iterator[Result]:
        """Yield the results of a piece, or see to it that they come another way."""
        if future.status == "error":
            self._suspect(piece, future.exception(), suspects)
            return
        try:
            found = future.result(timeout=RESULT_SECONDS)
        except TimeoutError:  # the worker died with the results
            waiting.append(piece)
        except CancelledError:
            raise self.watch.gone() from None
        else:
            if isinstance(found, self.machine.Unknown):
                self._send([found.address])
                waiting.append(piece)
            else:
                yield from found

    def _suspect(self, piece: Piece, error: BaseException, suspects: "deque[Piece]") -> None:
        """Have the cells of a piece that killed its workers measured one by one; a single one is given up."""
        from distributed import KilledWorker

        if not isinstance(error, KilledWorker):
            raise error
        if self._alone:  # before that, others on the same worker may have killed it
            why = f"its worker ended {error.allowed_failures + 1} times, most often because memory ran out"
            self._given_up[piece.cells[0]] = why
        suspects += piece.singly()

    def __exit__(self, *_: object) -> None:
        """Let all workers forget the sweep, and stop what they still measure of it."""
        self.watch.stop()
        if self.watch.is_there:
            self.client.run(self.machine.end, self._sweep, on_error="ignore")
