"""The side of the server: starts the process that waits for files when first needed, and hears how each file ended."""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pruning_core.guard.limits import LIMITS, Limits

START_SECONDS = 180  # for torch and the others to be imported on a busy machine
GRACE_SECONDS = 15  # beyond the limit, until the waiting process is itself believed dead
LONGEST_ANSWER = 1 << 20  # bytes
THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}


@dataclass(frozen=True)
class End:
    """How the process that read a file ended."""

    answer: bytes = b""
    exit: int | None = None  # below 0: the signal that ended it; None: nobody knows
    is_late: bool = False
    memory_mb: int = 0


class Zygote:
    """One waiting process, and the socket that leads to it."""

    def __init__(self, limits: Limits) -> None:
        self.control, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "pruning_core.sandbox.zygote",
                    str(theirs.fileno()),
                    str(limits.idle_seconds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | THREADS | {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
            )
        self.owner = os.getpid()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked: it runs, and this process is the one that started it."""
        return self.owner == os.getpid() and self.process.poll() is None

    def end(self) -> None:
        """End it and all that it started."""
        self.control.close()
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()


_lock = threading.Lock()
_places = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))  # files that are read at once; others wait
_zygote: Zygote | None = None


def warm(limits: Limits = LIMITS) -> None:
    """Start the waiting process ahead of the first file."""
    with _lock:
        _started(limits)


def run(request: dict[str, Any], limits: Limits) -> End:
    """Return how the process ended that was asked to read a file."""
    with _places:
        end = _run(request, limits)
        return end if end is not None else _run(request, limits) or End()  # once more: it may just have gone idle


def _started(limits: Limits) -> Zygote:
    global _zygote
    if _zygote is None or not _zygote.is_alive:
        if _zygote is not None:
            _zygote.end()
        _zygote = Zygote(limits)
    return _zygote


def _forget(zygote: Zygote) -> None:
    global _zygote
    with _lock:
        if _zygote is zygote:
            _zygote = None
    zygote.end()


def _run(request: dict[str, Any], limits: Limits) -> End | None:
    """Return how it ended; None when the waiting process was gone before it began."""
    text = json.dumps(request | {"limits": asdict(limits)}).encode()
    with _lock:
        zygote = _started(limits)
    asked, ask = os.pipe()
    answer, theirs = os.pipe()
    ends, their_ends = os.pipe()
    os.write(ask, text)  # as names are bounded, less than a pipe holds
    os.close(ask)
    try:
        with _lock:
            socket.send_fds(zygote.control, [b"r"], [asked, theirs, their_ends])
    except OSError:
        os.close(answer)
        os.close(ends)
        return None
    finally:
        for file in (asked, theirs, their_ends):
            os.close(file)
    try:
        return _listen(zygote, answer, ends, limits)
    finally:
        os.close(answer)
        os.close(ends)


def _listen(zygote: Zygote, answer: int, ends: int, limits: Limits) -> End | None:
    told, said = bytearray(), bytearray()
    open_files, deadline, has_begun = {answer, ends}, time.monotonic() + START_SECONDS, False
    while open_files and time.monotonic() < deadline:
        for file in select.select(open_files, [], [], 1.0)[0]:
            piece = os.read(file, 65_536)
            (said if file == answer else told).extend(piece)
            if not piece or len(said) > LONGEST_ANSWER:
                open_files.discard(file)
        if not has_begun and b"\n" in told:
            has_begun, deadline = True, time.monotonic() + limits.wall_seconds + GRACE_SECONDS
        if told.count(b"\n") > 1:
            open_files.discard(ends)
    lines = [json.loads(line) for line in bytes(told).splitlines()]
    if len(lines) > 1:
        last = lines[1]
        return End(bytes(said), last["exit"], last["is_late"], last["memory_mb"])
    if open_files or lines:
        _forget(zygote)  # it hangs, or died with the file
        return End(is_late=bool(open_files))
    return None


@atexit.register
def _end() -> None:
    if _zygote is not None:
        _zygote.end()
