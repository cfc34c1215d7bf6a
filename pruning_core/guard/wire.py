"""Protocol buffers as they lie in bytes: no library, no recursion, nothing is built.

Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pruning_core.refusals import refused

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types
MOST_FIELDS = 3_000_000  # in one file; the largest models have thousands of nodes of some twenty fields
Field = tuple[int, int, int, int]  # number, wire type, then value and 0; of BYTES where they start and stop


@dataclass
class Wire:
    """The bytes of a file, and how many fields may still be read of it: each takes a moment."""

    view: memoryview
    left: int = MOST_FIELDS

    def __getitem__(self, place: slice) -> memoryview:
        return self.view[place]


def fields(data: Wire, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message at `start` to `stop`."""
    view = data.view
    while start < stop:
        data.left -= 1
        if data.left < 0:
            raise refused("E610", f"the ONNX file has more than {MOST_FIELDS} fields")
        key, start = varint(view, start, stop)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, start = varint(view, start, stop)
            yield number, wire, value, 0
        elif wire == BYTES:
            length, start = varint(view, start, stop)
            end = start + length
            if end > stop:
                raise refused("E202", f"the ONNX file is cut short at byte {start}")
            yield number, wire, start, end
            start = end
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            yield number, wire, start, start
            start += 8 if wire == EIGHT_BYTES else 4
            if start > stop:
                raise refused("E202", f"the ONNX file is cut short at byte {start}")
        else:
            raise refused("E202", f"the ONNX file is damaged at byte {start}")


def varint(data: memoryview, start: int, stop: int) -> tuple[int, int]:
    """Return the number (unsigned, 64 bits) at `start`, and where it ends."""
    result = shift = 0
    while start < stop and shift < 64:
        byte = data[start]
        start += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & 0xFFFFFFFFFFFFFFFF, start
        shift += 7
    raise refused("E202", f"the ONNX file is damaged at byte {start}")


def signed(value: int) -> int:
    """Return the int64 that a varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def varints(data: Wire, wire: int, value: int, stop: int) -> Iterator[int]:
    """Yield the int64 numbers of a repeated field, packed or not."""
    if wire == VARINT:
        yield signed(value)
    elif wire == BYTES:
        while value < stop:
            number, value = varint(data.view, value, stop)
            yield signed(number)
