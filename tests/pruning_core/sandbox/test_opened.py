"""What the process that reads a file opens, as Python and the kernel tell it: its file, libraries, nothing else."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pruning_core.guard import Limits
from pruning_core.sandbox import jail, work
from tests.fuzz.seeds import by_kind
from tests.hostile.case import call, npy, torch_zip

WATCHED = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.dlopen", "import")
HARMLESS = ("os.scandir", "os.listdir", "os.putenv", "os.unsetenv", "os.chdir", "os.mkdir")  # checked by their paths
FILES = {kind: contents[0] for kind, contents in by_kind().items()}


def read(folder: Path, path: Path, kind: str, what: str) -> tuple[dict[str, Any], list[str]]:
    """Return the answer about a file, and what was opened or started to get it."""
    reader, writer = os.pipe()
    log = os.open(folder / "events", os.O_WRONLY | os.O_CREAT)
    pid = os.fork()
    if pid == 0:
        sys.addaudithook(lambda event, arguments: _tell(log, event, arguments))
        request = {"folder": str(folder), "readable": [str(path)], "environment": {}, "model": None}
        real, jail_enter = jail.enter, lambda limits, *others: real(limits, *others[:2], [*others[2], log])
        work.enter = jail_enter  # which would close the log
        work.run(request | {"spec": f"{path}+as@lenet_300_100" if what == "model" else str(path), "what": what}
                 | {"kind": kind}, Limits(), writer)  # fmt: skip
        os._exit(0)
    os.close(writer)
    os.close(log)
    with os.fdopen(reader, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer, (folder / "events").read_text("utf-8").splitlines()


def _tell(log: int, event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(WATCHED) and event != "import" and arguments:
        os.write(log, f"{event} {arguments[0]!r}\n".encode("utf-8", "replace"))


def _is_expected(line: str, folder: Path, path: Path) -> bool:
    event, _, argument = line.partition(" ")
    if event not in ("open", "ctypes.dlopen", *HARMLESS):
        return False
    if not argument.startswith("'"):  # the number of an open file, or the C library
        return True
    hubs = [f"{cache}/hub" for cache in jail._caches().values()]  # so that data can be for a model of that name
    libraries = (*hubs, *jail._libraries(), *jail.SYSTEM, "/proc", "/dev/null", str(Path(__file__).parents[3]))
    name = argument.strip("'")
    return not name.startswith("/") or name == str(path) or name.startswith((str(folder), *libraries))


@pytest.mark.parametrize("kind", ["state_dict", "safetensors", "npz", "npy", "images", "table"])
def test_only_the_file_and_libraries_are_opened(kind: str, tmp_path: Path) -> None:
    folder, path = tmp_path / "work", tmp_path / f"file{_suffix(kind)}"
    folder.mkdir()
    path.write_bytes(FILES[kind])
    what = {"state_dict": "weights", "safetensors": "model"}.get(kind, "data")
    answer, events = read(folder, path, kind, what)
    assert "found" in answer, answer
    assert any(str(path) in line for line in events)
    assert [line for line in events if not _is_expected(line, folder, path)] == []


@pytest.mark.parametrize("kind", ["state_dict", "npy"])
def test_code_in_a_file_does_not_run_even_there(kind: str, tmp_path: Path) -> None:
    """As if the first stage had let them on."""
    folder, path, marker = tmp_path / "work", tmp_path / f"file{_suffix(kind)}", tmp_path / "marker"
    folder.mkdir()
    evil = call("os", "system", f"touch {marker}")
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    path.write_bytes(torch_zip(evil) if kind == "state_dict" else npy(header, evil))
    answer, events = read(folder, path, kind, "model" if kind == "state_dict" else "data")
    assert answer["refused"]["code"] in ("E203", "E303", "E302"), answer
    assert not marker.exists()
    assert [line for line in events if line.startswith("os.system")] == []


def _suffix(kind: str) -> str:
    return {"state_dict": ".pt", "images": ".zip", "table": ".csv"}.get(kind, f".{kind}")
