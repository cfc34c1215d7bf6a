"""The program of a process that measures: standard input brings pieces, standard output takes results.

It ends when its input does: the one who asked is gone then, however that ended.
"""

import os
import pickle
import signal
import traceback
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from pruning_core.errors import PruningError
from pruning_core.sensitivity.executors.packing import Measurer


def main() -> None:
    """Work until the other side is gone."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the other side decides
    inbox: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_listen, args=(orders, inbox), daemon=True).start()
    try:
        _work(inbox, answers)
    except PruningError as error:
        _tell(answers, "refused", str(error))
    except MemoryError:
        _tell(answers, "refused", "memory ran out in a process that measures; ask for fewer workers")
    except Exception:
        _tell(answers, "defect", traceback.format_exc())


def _listen(orders: BinaryIO, inbox: "SimpleQueue[Any]") -> None:
    try:
        while True:
            inbox.put(pickle.load(orders))
    finally:
        os._exit(0)


def _work(inbox: "SimpleQueue[Any]", answers: BinaryIO) -> None:
    measurer = Measurer(inbox.get())
    _tell(answers, "ready")
    while True:
        for result in measurer.measure(inbox.get()):
            _tell(answers, "result", result)
        _tell(answers, "ready")


def _tell(answers: BinaryIO, kind: str, content: Any = None) -> None:
    pickle.dump((kind, content), answers)
    answers.flush()
