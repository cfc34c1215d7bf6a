"""Tensors in an ONNX file: whether the shape that one claims fits the bytes that it brings. Fields: onnx.proto3."""

from dataclasses import dataclass, field

from pruning_core.guard import wire
from pruning_core.guard.limits import Limits
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

DIMS, TYPE, FLOATS, INT32S, STRINGS, INT64S, NAME, RAW, DOUBLES, UINT64S, EXTERNAL, LOCATION = (
    1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14,
)  # fmt: skip
TEXT, COMPLEX = 8, (14, 15)  # types of data
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6}
MOST_DIMENSIONS = 64
FEW = 64  # numbers of a tensor that may be a shape


@dataclass
class Tensor:
    """What is read of one tensor."""

    name: bytes = b""
    type: int = 0
    dims: list[int] = field(default_factory=list)
    raw: int = -1  # bytes of raw data; -1 without any
    fields: dict[int, int] = field(default_factory=dict)  # bytes in each typed field
    strings: int = 0
    small: list[int] = field(default_factory=list)  # its int64 numbers, when they are few

    @property
    def count(self) -> int:
        """Return how many numbers the shape claims."""
        count = 1
        for size in self.dims:
            count *= size
        return count


def read_tensor(data: wire.Wire, start: int, stop: int, limits: Limits) -> Tensor:
    """Return a tensor whose shape fits its bytes; weights in another file are refused."""
    tensor = Tensor()
    for number, kind, value, end in wire.fields(data, start, stop):
        if number == DIMS:
            tensor.dims += wire.varints(data, kind, value, min(end, value + 10 * MOST_DIMENSIONS + 10))
            if len(tensor.dims) > MOST_DIMENSIONS:
                raise refused("E211", f"weight {shown(tensor.name)} has more than {MOST_DIMENSIONS} dimensions")
        elif number == TYPE and kind == wire.VARINT:
            tensor.type = value
        elif number == EXTERNAL or (number == LOCATION and value == 1):
            raise refused("E222", f"weight {shown(tensor.name)} is in a second file, which is not read")
        elif kind == wire.BYTES and number == NAME:
            tensor.name = bytes(data[value:end][: 4 * limits.name_characters])
        elif kind == wire.BYTES and number == RAW:
            tensor.raw = end - value
            tensor.small = _small(data[value:end])
        elif number == STRINGS:
            tensor.strings += 1
        elif number in (FLOATS, INT32S, INT64S, DOUBLES, UINT64S):
            size = (
                end - value if kind == wire.BYTES else {wire.VARINT: 1, wire.FOUR_BYTES: 4, wire.EIGHT_BYTES: 8}[kind]
            )
            tensor.fields[number] = tensor.fields.get(number, 0) + size
            if number == INT64S and tensor.fields[number] <= 10 * FEW:
                tensor.small += wire.varints(data, kind, value, end)
    _check(tensor)
    return tensor


def _small(raw: memoryview) -> list[int]:
    if len(raw) > 8 * FEW or len(raw) % 8:
        return []
    return [int.from_bytes(raw[place : place + 8], "little", signed=True) for place in range(0, len(raw), 8)]


def _check(tensor: Tensor) -> None:
    if any(size < 0 or size > 1 << 40 for size in tensor.dims):
        raise refused("E211", f"weight {shown(tensor.name)} has an impossible shape")
    if tensor.type not in BITS and tensor.type != TEXT:
        raise refused("E211", f"weight {shown(tensor.name)} is of the unknown type {tensor.type}")
    if tensor.type != 7:
        tensor.small = []
    if not _fits(tensor):
        held = max(tensor.raw, 0) + sum(tensor.fields.values())
        count = str(tensor.count) if tensor.count < 10**15 else "more than 10^15"
        raise refused("E211", f"weight {shown(tensor.name)} claims {count} numbers, the file holds {held} bytes of it")


def _fits(tensor: Tensor) -> bool:
    """Return whether the bytes can be those of the shape: exactly for raw data and floats, bounds for varints."""
    if tensor.type == TEXT:
        return tensor.strings == tensor.count
    bits = BITS[tensor.type]
    if tensor.raw >= 0:
        return not tensor.fields and (tensor.count * bits + 7) // 8 == tensor.raw
    if tensor.type in (1, 11, *COMPLEX):
        number = DOUBLES if tensor.type in (11, 15) else FLOATS
        return set(tensor.fields) <= {number} and tensor.fields.get(number, 0) * 8 == tensor.count * bits
    in_one = max(1, 8 // bits)  # of 4 and 2 bits, several share a varint
    return tensor.count <= in_one * sum(tensor.fields.values()) <= 10 * in_one * (tensor.count + in_one)
