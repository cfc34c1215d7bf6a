"""Landlock (Linux 5.13 and later): a process gives up all files but those it names, and connections by TCP.

Interface: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
from collections.abc import Iterable

CREATE, ADD_RULE, RESTRICT = 444, 445, 446  # numbers of the system calls, the same on all architectures
VERSION, PATH_BENEATH, NO_NEW_PRIVILEGES = 1, 1, 38
EXECUTE, WRITE, READ, READ_FOLDER = 1, 2, 4, 8
FILES_ONLY = EXECUTE | WRITE | READ | 1 << 14 | 1 << 15  # what a rule on a file, not a folder, may grant
RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15, 5: 1 << 16}  # first bit beyond those of a version
CONNECTIONS, OTHERS = 3, 3  # bind and connect by TCP; abstract sockets of, and signals to, other processes


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock here; 0 without it."""
    try:
        return max(0, int(_libc().syscall(CREATE, None, ctypes.c_size_t(0), VERSION)))
    except (OSError, AttributeError):
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Give up all files but these and what lies in them; return whether the kernel holds this process to it."""
    found = version()
    if not found:
        return False
    every = RIGHTS.get(min(found, 5), 1 << 16) - 1
    rules = _Ruleset(every, CONNECTIONS if found >= 4 else 0, OTHERS if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    ruleset = int(_libc().syscall(CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(ruleset, path, READ | READ_FOLDER)
        for path in writable:
            _allow(ruleset, path, every & ~EXECUTE)
        return bool(_libc().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and _libc().syscall(RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        allowed = rights if os.path.isdir(path) else rights & FILES_ONLY
        rule = _PathBeneath(allowed, folder)
        _libc().syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
