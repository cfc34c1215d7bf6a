"""A filter of system calls (Linux): no new processes, no programs, no sockets, no signals.

The filter is a program of the kernel's packet filter: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import platform
import struct

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2  # of prctl
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # places in what the kernel hands over
THREAD = 0x10000  # bit of the argument of clone
OTHER_TABLE = 0x40000000  # from this number on, x86-64 means the x32 table

_X86_64 = {
    **{"fork": 57, "vfork": 58, "execve": 59, "socket": 41, "socketpair": 53, "ptrace": 101},
    **{"mount": 165, "umount2": 166, "chroot": 161, "kexec_load": 246, "add_key": 248, "keyctl": 250, "unshare": 272},
    **{"perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321},
    **{"execveat": 322, "userfaultfd": 323, "kill": 62, "rt_sigqueueinfo": 129, "tkill": 200, "tgkill": 234},
}
_AARCH64 = {
    **{"execve": 221, "socket": 198, "socketpair": 199, "ptrace": 117, "mount": 40, "umount2": 39},
    **{"chroot": 51, "kexec_load": 104, "add_key": 217, "keyctl": 219, "unshare": 97, "perf_event_open": 241},
    **{"setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "execveat": 281},
    **{"userfaultfd": 282, "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138},
}
_BOTH = {"io_uring_setup": 425, "pidfd_getfd": 438, "pidfd_send_signal": 424}
_CLONE3 = 435  # answered as unknown, so that callers fall back to clone
_MACHINES = {"x86_64": (0xC000003E, 56, _X86_64), "aarch64": (0xC00000B7, 220, _AARCH64)}  # and the number of clone


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def restrict() -> bool:
    """Give up these system calls for good; return whether the kernel holds this process to it."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return False
    instructions = _filter(*_MACHINES[platform.machine()])
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, clone: int, numbers: dict[str, int]) -> bytes:
    """Return the filter: a refused call fails as one that is not permitted. Threads may be made."""
    refused = sorted({*numbers.values(), *_BOTH.values()})
    fail = 9 + len(refused)  # the line that refuses; jumps count from the line behind their own
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 0, fail - 2, architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_AT_LEAST, fail - 4, 0, OTHER_TABLE),
        *((IF_EQUAL, fail - 5 - place, 0, number) for place, number in enumerate(refused)),
        (IF_EQUAL, 5, 0, _CLONE3),
        (IF_EQUAL, 0, 2, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_ANY_OF, 0, 1, THREAD),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL | errno.EPERM),
        (RETURN, 0, 0, FAIL | errno.ENOSYS),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
