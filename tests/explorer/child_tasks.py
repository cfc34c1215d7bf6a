"""Tasks for the tests of workers, and the program of a worker that is there at once, since it loads no torch."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from explorer import worker_main


def light() -> None:
    """Work as a worker does, without torch."""
    worker_main._loaded = lambda: (slow, None)  # type: ignore[assignment]
    worker_main.main()


def slow(seconds: float) -> float:
    """Take the place of what loads models."""
    time.sleep(seconds)
    return seconds


def loading(task: Any, seconds: float, log: Path) -> None:
    """Load something, then compute."""
    task.note("begun")
    task.reference(seconds)
    log.write_text("loaded and went on")


def resumed(task: Any, log: Path, n: int) -> int:
    """Write `n` lines to a file, as a sweep fills its store; return how many are there when it stops."""
    log.touch()
    while (done := len(log.read_text().splitlines())) < n and not task.cancelled():
        with log.open("a") as file:
            file.write("a line\n")
        task.note(done)
        time.sleep(0.01)
    return done


def process(_: Any) -> int:
    """Return the number of the process."""
    return os.getpid()


def niceness(_: Any) -> int:
    """Return the priority of the process; the larger, the more it steps back."""
    return os.nice(0)


def threads_and_streamlit(_: Any) -> tuple[int, bool]:
    """Return how many threads torch uses, and whether Streamlit was loaded."""
    import sys

    import torch

    return torch.get_num_threads(), "streamlit" in sys.modules


def counted(task: Any, n: int, seconds: float) -> tuple[int, float]:
    """Count up to `n`, one step in `seconds`; return where it stopped and how long it stood."""
    for i in range(n):
        if task.cancelled():
            return i, task.paused_seconds
        task.note(i)
        time.sleep(seconds)
    return n, task.paused_seconds


def stubborn(task: Any) -> None:
    """Compute for ever, without looking up."""
    task.note("begun")
    while True:
        pass


def chatty(task: Any, value: Any) -> Any:
    """Print as libraries do."""
    print("something for the log")
    os.write(1, b"and more\n")
    return value


def refused(_: Any) -> None:
    """End as a request that cannot be met."""
    from pruning_core.errors import PlanError

    raise PlanError("fc1: there is nothing to prune; raise a sparsity")


def broken(_: Any) -> float:
    """End in a defect."""
    return 1 / 0


def not_data(_: Any) -> Any:
    """Return what cannot be sent."""
    return lambda: None


def dying(_: Any, log: Path, times: int) -> int:
    """Be killed, as by a machine without memory, the first `times` times; return how often it was begun."""
    with log.open("a") as file:
        file.write("begun\n")
    if len(log.read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(log.read_text().splitlines())
