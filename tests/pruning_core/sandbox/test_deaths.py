"""However the process ends that reads a file, the caller gets a code; and it ends with its parent and without work."""

import faulthandler
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import FileRefused, PruningError
from pruning_core.guard import Limits
from pruning_core.refusals import refused
from pruning_core.sandbox import client, rehearse, work, zygote
from pruning_core.sandbox.jail import Walls
from pruning_core.sandbox.rehearsal import _answer

LIMITS = Limits(wall_seconds=1, cpu_seconds=1, memory_mb=128, idle_seconds=60)


class Process:
    """What the client asks of a process, for one that was forked."""

    def __init__(self, pid: int) -> None:
        self.pid, self.code = pid, None

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        if self.code is None and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.code = 0
        return self.code

    def kill(self) -> None:
        """End it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended."""
        if self.code is None:
            os.waitpid(self.pid, 0)
            self.code = 0


class Forked(client.Zygote):
    """A waiting process that misbehaves as it is asked to; forked, for starting one takes seconds."""

    def __init__(self, limits: Limits) -> None:
        self.control, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, 4096)
            work.run = misbehave
            wake, waker = socket.socketpair()
            waker.setblocking(False)
            signal.signal(signal.SIGCHLD, lambda number, frame: None)
            signal.set_wakeup_fd(waker.fileno())
            try:
                zygote.serve(theirs, wake, limits.idle_seconds)
            finally:
                os._exit(0)
        theirs.close()
        self.process, self.owner = Process(pid), os.getpid()


def misbehave(request: dict[str, Any], limits: Limits, answer: int) -> None:
    """Be a file that ends its reader."""
    tried = request["tried"]
    if tried == "waits":
        time.sleep(60)
    elif tried == "dies of a signal":
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
    elif tried == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif tried == "ends":
        os._exit(0)
    elif tried == "ends in error":
        os._exit(7)
    elif tried == "raises":
        raise SystemExit
    elif tried == "answers nonsense":
        os.write(answer, b"\xff\xfe{")
    elif tried == "answers a list":
        os.write(answer, b"[1]")
    elif tried == "answers without end":
        while True:
            os.write(answer, bytes(65_536))
    elif tried == "stops its parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    elif tried == "reads":
        os.write(answer, b'{"found": {"layers": 1}, "walls": {}}')
    else:
        work.WORK = {"raise": lambda request, limits: raised(tried)}
        work.enter = lambda *arguments: Walls(True, True, True)
        REAL_RUN(request | {"what": "raise", "environment": {}, "folder": "/", "readable": []}, limits, answer)


REAL_RUN = work.run
ERRORS = {
    "memory": MemoryError(),
    "memory of torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    "memory, hidden by a loader": refused("E202", "the file is damaged"),
    "recursion": RecursionError(),
    "refusal": refused("E221", "a loop"),
    "other refusal": PruningError("something else"),
    "anything": ValueError("torch.load(weights_only=False)"),
    "interrupt": KeyboardInterrupt(),
    "size": OSError(27, "File too large"),
}


def raised(name: str) -> None:
    """Raise one of them."""
    if "hidden" in name:
        raise ERRORS[name] from MemoryError()
    raise ERRORS[name]


CODES = {
    "waits": "E614",
    "dies of a signal": "E616",
    "is killed": "E615",
    "ends": "E616",
    "ends in error": "E616",
    "raises": "E616",
    "answers nonsense": "E616",
    "answers a list": "E616",
    "answers without end": "E614|E616",
    "stops its parent": "E614|E616",
    "memory": "E615",
    "memory of torch": "E615",
    "memory, hidden by a loader": "E615",
    "recursion": "E611",
    "refusal": "E221",
    "other refusal": "E100",
    "anything": "E617",
    "interrupt": "E617",
    "size": "E606",
}


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the client start processes that misbehave."""
    monkeypatch.setattr(client, "Zygote", Forked)
    monkeypatch.setattr(client, "_zygote", None)
    monkeypatch.setattr(client, "GRACE_SECONDS", 1)
    yield
    if client._zygote is not None:
        client._zygote.end()


def test_every_death_has_a_code(waiting: None) -> None:
    found = {}
    for tried in CODES:
        with pytest.raises(FileRefused) as caught:
            _answer(client.run({"tried": tried}, LIMITS), LIMITS, [])
        found[tried] = caught.value.code
        assert "weights_only" not in str(caught.value)
    assert {tried: code for tried, code in found.items() if code not in CODES[tried].split("|")} == {}
    assert _answer(client.run({"tried": "reads"}, LIMITS), LIMITS, [])["layers"] == 1


def test_a_waiting_process_that_has_ended_is_started_again(waiting: None) -> None:
    for _ in range(3):
        assert client.run({"tried": "reads"}, LIMITS).exit == 0
        client._zygote.process.kill()
        client._zygote.process.wait()


def test_several_files_are_read_at_once(waiting: None) -> None:
    limits = Limits(wall_seconds=1)
    with ThreadPoolExecutor(6) as pool:
        started = time.monotonic()
        ends = list(pool.map(lambda tried: client.run({"tried": tried}, limits), ["waits", "reads", "reads", "waits"]))
    assert [end.is_late for end in ends] == [True, False, False, True]
    assert [end.exit for end in ends[1:3]] == [0, 0]
    assert time.monotonic() - started < 8


def test_it_ends_without_work(waiting: None) -> None:
    limits = Limits(idle_seconds=1)
    assert client.run({"tried": "reads"}, limits).exit == 0
    first = client._zygote.process
    deadline = time.monotonic() + 10
    while first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert first.poll() is not None
    assert client.run({"tried": "reads"}, limits).exit == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A server that is killed leaves neither the waiting process nor the one that reads."""
    server = os.fork()
    if server == 0:
        started = Forked(LIMITS)
        (tmp_path / "pid").write_text(str(started.process.pid), "ascii")
        client._zygote = started
        client.run({"tried": "waits"}, Limits(wall_seconds=60))
        os._exit(0)
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    pid = int((tmp_path / "pid").read_text("ascii"))
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_names_too_long_are_refused(waiting: None, tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as caught:
        rehearse(f"{tmp_path}/a.npz+y@{'b' * 70_000}", "data")
    assert caught.value.code == "E618"
