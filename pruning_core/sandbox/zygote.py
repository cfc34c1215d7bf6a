"""The process that waits for files: it has imported everything once, and forks for each file.

It ends with the process that started it, and after some time without work. It reads nothing of a stranger's itself.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from pruning_core.guard.limits import Limits

TICK = 0.5  # seconds between looks at the clock
N_FILES = 3  # passed with each request: to read it from, to answer to, to tell of the end


@dataclass
class Child:
    """A file being read."""

    ends: int  # where its end is told
    deadline: float
    is_late: bool = False


def main() -> None:
    """Serve the socket whose number is the argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    idle_seconds = int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, whose end is seen here
    from pruning_core.sandbox import work

    work.warm()
    gc.collect()
    gc.freeze()
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    serve(control, wake, idle_seconds)


def serve(control: socket.socket, wake: socket.socket, idle_seconds: int) -> None:
    """Fork for each request until the other side is gone or nothing came for a while."""
    children, parent, last = dict[int, Child](), os.getppid(), time.monotonic()
    while os.getppid() == parent:
        ready, _, _ = select.select([control, wake], [], [], TICK)
        if wake in ready:
            wake.recv(4096)
        _reap(children)
        _kill_late(children)
        if control in ready:
            last = time.monotonic()
            message, files, _, _ = socket.recv_fds(control, 1, N_FILES)
            if not message:
                break
            _fork(files, children)
        if not children and time.monotonic() - last > idle_seconds:
            break
    for pid in children:
        _kill(pid)


def _fork(files: list[int], children: dict[int, Child]) -> None:
    asked, answer, ends = files
    with os.fdopen(asked, "rb") as file:
        request = json.loads(file.read())
    limits = Limits(**request["limits"])
    pid = os.fork()
    if pid == 0:
        _run(request, limits, answer)
    os.close(answer)
    _tell(ends, {"pid": pid})
    children[pid] = Child(ends, time.monotonic() + limits.wall_seconds)


def _run(request: dict[str, Any], limits: Limits, answer: int) -> None:
    """Be the child: read the file, answer, end. Never returns."""
    from pruning_core.sandbox import work

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        work.run(request, limits, answer)
        code = 0
    finally:
        os._exit(code)


def _reap(children: dict[int, Child]) -> None:
    while children:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        child = children.pop(pid)
        _kill(pid)  # what it may have left in its group
        code = os.waitstatus_to_exitcode(status)
        _tell(child.ends, {"exit": code, "is_late": child.is_late, "memory_mb": usage.ru_maxrss // 1024})
        os.close(child.ends)


def _kill_late(children: dict[int, Child]) -> None:
    for pid, child in children.items():
        if time.monotonic() > child.deadline:
            child.is_late = True
            _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _tell(file: int, what: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # who asked may be gone
        os.write(file, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
