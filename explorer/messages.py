"""Messages between the server and its worker processes: pickled tuples over a pipe, each after its length."""

import os
import pickle
import struct
from typing import Any

_LENGTH = struct.Struct(">Q")


def write(pipe: int, message: Any) -> None:
    """Send one message; raises OSError where nobody listens any more."""
    content = pickle.dumps(message)
    rest = memoryview(_LENGTH.pack(len(content)) + content)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def read(pipe: int) -> Any:
    """Return the next message; raises EOFError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: int, n_bytes: int) -> bytes:
    parts = []
    while n_bytes:
        part = os.read(pipe, min(n_bytes, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)
