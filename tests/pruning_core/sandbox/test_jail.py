"""What a process can still do once it has given up everything: run in a fork, which tells what it could."""

import ctypes
import json
import os
import platform
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pruning_core.guard import Limits
from pruning_core.sandbox import jail, landlock, seccomp

LIMITS = Limits(memory_mb=256, cpu_seconds=5, file_mb=1, unpacked_mb=1)


def inside(folder: Path, readable: list[str], tries: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what each of these came to in a process that has entered the jail."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        found: dict[str, Any] = {}
        try:
            walls = jail.enter(LIMITS, str(folder), readable, [writer])
            found = {"walls": asdict(walls)}
            for name, attempt in tries.items():
                try:
                    found[name] = attempt()
                except BaseException as error:
                    found[name] = type(error).__name__
        finally:
            os.write(writer, json.dumps(found).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    os.waitpid(pid, 0)
    return dict(json.loads(told))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a folder to work in, a file that may be read, and a canary that may not."""
    work = tmp_path / "work"
    work.mkdir()
    mine, canary = tmp_path / "mine.bin", tmp_path / "canary"
    mine.write_text("mine", "ascii")
    canary.write_text("canary", "ascii")
    return work, mine, canary


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_only_its_own_files_can_be_opened(folders: tuple[Path, Path, Path]) -> None:
    work, mine, canary = folders
    tries: dict[str, Callable[[], Any]] = {
        "own file": mine.read_text,
        "temporary file": lambda: Path(tempfile.mkstemp()[1]).write_bytes(b"x"),
        "write in its folder": lambda: Path("made").write_text("x", "ascii"),
        "canary": canary.read_text,
        "canary by way of its folder": lambda: Path("../canary").read_text("ascii"),
        "canary by a link": lambda: (os.symlink(canary, "link"), Path("link").read_text("ascii"))[1],
        "write into its own file": lambda: mine.write_text("x", "ascii"),
        "remove the canary": canary.unlink,
        "passwords": lambda: Path("/etc/passwd").read_text("ascii"),
        "other processes": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes().hex(),
        "folders of others": lambda: os.listdir("/tmp"),
        "a program": lambda: os.execv("/bin/true", ["true"]),
        "signal to its parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    }
    found = inside(work, [str(mine)], tries)
    assert found.pop("walls")["files"] is True
    assert (found.pop("own file"), found.pop("write in its folder"), found.pop("temporary file")) == ("mine", 1, 1)
    if landlock.version() < 6:
        found.pop("signal to its parent")
    assert set(found.values()) == {"PermissionError"}, found
    assert canary.read_text("ascii") == "canary"


def test_memory_processes_and_files_have_limits(folders: tuple[Path, Path, Path]) -> None:
    tries: dict[str, Callable[[], Any]] = {
        "small": lambda: len(bytearray(10 << 20)),
        "300 MB": lambda: len(bytearray(300 << 20)),
        "a file of 30 MB": lambda: Path("big").write_bytes(bytes(30 << 20)),
        "400 files": lambda: [os.open(os.devnull, os.O_RDONLY) for _ in range(400)],
        "its folder": lambda: os.getcwd() == os.environ["HOME"] == os.environ["TMPDIR"],
        "secrets": lambda: "SECRET" in os.environ,
        "standard input": lambda: os.read(0, 1).decode(),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "1")
        found = inside(folders[0], [], tries)
    wanted = {"small": 10 << 20, "300 MB": "MemoryError", "a file of 30 MB": "OSError"}
    wanted |= {"400 files": "OSError", "its folder": True, "secrets": False, "standard input": ""}
    assert {name: found[name] for name in tries} == wanted


@pytest.mark.skipif(not seccomp._MACHINES.keys() & {platform.machine()}, reason="the filter is not for this machine")
def test_no_process_program_or_socket_is_started(folders: tuple[Path, Path, Path]) -> None:
    tries: dict[str, Callable[[], Any]] = {
        "a process": os.fork,
        "a program": lambda: os.execv("/bin/true", ["true"]),
        "a thread": lambda: threading.Thread(target=len, args=("",)).start(),
        "a socket": socket.socket,
        "a pair of sockets": socket.socketpair,
        "another network": lambda: ctypes.CDLL(None, use_errno=True).unshare(jail.NEW_NETWORK),
        "a signal": lambda: os.kill(os.getppid(), signal.SIGTERM),
    }
    found = inside(folders[0], [], tries)
    assert found.pop("walls")["processes"] is True
    assert (found.pop("a thread"), found.pop("another network")) == (None, -1)
    assert set(found.values()) == {"PermissionError"}, found


def test_no_connection_leads_out(folders: tuple[Path, Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        found = inside(folders[0], [], {"connect": lambda: socket.create_connection(address, 2).close()})
    if not found["walls"]["network"]:
        pytest.skip("this system lets no process leave the network")
    assert found["connect"] in ("PermissionError", "OSError")


def test_time_of_the_processor_ends(folders: tuple[Path, Path, Path]) -> None:
    pid = os.fork()
    if pid == 0:
        jail.enter(Limits(cpu_seconds=1), str(folders[0]), [], [])
        while True:
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGXCPU
