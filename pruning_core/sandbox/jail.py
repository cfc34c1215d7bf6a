"""What a process gives up before it reads a stranger's file: time, memory, files, processes, the network."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pruning_core.guard.limits import Limits
from pruning_core.sandbox import landlock, seccomp

NEW_USER, NEW_NETWORK, NEW_IPC = 0x10000000, 0x40000000, 0x08000000
DEATH_SIGNAL = 1
MOST_OPEN = 256
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/sys/devices"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/sys/vm", "/dev/urandom", "/sys/fs/cgroup"),
)
KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Walls:
    """Which walls the system could raise; memory and time always have theirs."""

    files: bool  # whether only its own files can be opened
    network: bool  # whether no connection can be made
    processes: bool  # whether it can start none, and reach into no other


def enter(limits: Limits, folder: str, readable: Iterable[str], kept_open: Iterable[int]) -> Walls:
    """Give up everything but reading these files and writing into `folder`, which becomes the working folder."""
    _die_with_parent()
    _close_all_but(kept_open)
    os.chdir(folder)
    caches = _caches()
    kept = {name: os.environ[name] for name in os.environ if name in KEPT or name.endswith("_NUM_THREADS")}
    os.environ.clear()
    os.environ.update(
        kept | caches | {"HOME": folder, "TMPDIR": folder, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    )
    tempfile.tempdir = folder  # kept by Python from before
    is_alone = _leave_network()
    processes = seccomp.restrict()
    _limit(limits, {} if processes else {resource.RLIMIT_NPROC: 0})  # which would leave it no threads either
    hubs = [os.path.join(cache, "hub") for cache in caches.values()]
    files = landlock.restrict([*readable, *_libraries(), *SYSTEM, *hubs], [folder, "/dev/null"])
    return Walls(files, is_alone or processes, processes)


def _caches() -> dict[str, str]:
    """Return where models lie that were downloaded by name: data may be meant for one of them."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    usual = {"HF_HOME": os.path.join(cache, "huggingface"), "TORCH_HOME": os.path.join(cache, "torch")}
    return {name: os.environ.get(name, place) for name, place in usual.items()}


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _close_all_but(kept_open: Iterable[int]) -> None:
    """Close all files but these; in, out and error lead nowhere."""
    kept = sorted({0, 1, 2, *kept_open})
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    for before, after in zip(kept, [*kept[1:], 65_536], strict=True):
        os.closerange(before + 1, after)


def _leave_network() -> bool:
    """Move into a network without any way out, and a user without rights; return whether the system lets us."""
    user, group = os.getuid(), os.getgid()
    try:
        if ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK | NEW_IPC) != 0:
            return False
    except AttributeError:  # not Linux
        return False
    with contextlib.suppress(OSError):  # without a name for the user, files still belong to him
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    return True


def _limit(limits: Limits, others: dict[int, int]) -> None:
    """Set the kernel's limits; memory is what the libraries already take and the allowance."""
    allowed = others | {
        resource.RLIMIT_AS: _address_space() + (limits.memory_mb << 20),
        resource.RLIMIT_FSIZE: (max(limits.file_mb, limits.unpacked_mb) << 20) + (16 << 20),
        resource.RLIMIT_NOFILE: MOST_OPEN,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in allowed.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    used = int(sum(os.times()[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + limits.cpu_seconds, used + limits.cpu_seconds + 2))


def _address_space() -> int:
    """Return the bytes of addresses in use."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 8 << 30  # no /proc: about what torch and its libraries take
    return pages * os.sysconf("SC_PAGE_SIZE")


def _libraries() -> list[str]:
    """Return where Python and its packages lie."""
    here = Path(__file__).resolve().parents[2]
    own = [str(here / name) for name in ("pruning_core", "sample_models")]
    installed = [path for path in sys.path if path and Path(path).resolve() != here]
    return [*own, *installed, sys.prefix, sys.base_prefix]
