"""The header of a safetensors file: JSON that says where each tensor lies.

Format: https://github.com/huggingface/safetensors
"""

import json
import struct
from typing import Any

from pruning_core.guard.archive import Data
from pruning_core.guard.limits import Limits
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
BITS |= {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
BITS |= {"C64": 64}
MOST_DIMENSIONS = 64


def is_safetensors(data: Data) -> bool:
    """Return whether the file starts as these files do: 8 bytes of length, then JSON."""
    return len(data) > 8 and data[8] == ord("{") and data[7] == 0 and data[6] == 0


def check_safetensors(data: Data, limits: Limits) -> str:
    """Return the kind; refuse a header whose tensors do not tile the rest of the file."""
    length = struct.unpack("<Q", data[:8])[0]
    if length > len(data) - 8:
        raise refused("E210", f"the safetensors header claims {length} bytes, the file has {len(data)}")
    limits.check("E618", "header_mb", length / 2**20, "the header has {} MB")
    header = _parsed(bytes(data[8 : 8 + length]))
    header.pop("__metadata__", None)
    limits.check("E610", "names", len(header), "the file has {} tensors")
    pieces = [_piece(name, entry, limits) for name, entry in header.items()]
    end, numbers = 0, 0
    for start, stop, count in sorted(pieces):
        if start != end:
            raise refused("E210", f"tensors of the file overlap or leave a gap at byte {end}")
        end, numbers = stop, numbers + count
    limits.check("E612", "numbers", numbers, "the weights have {} numbers")
    if end != len(data) - 8 - length:
        raise refused("E210", f"the tensors take {end} bytes, the file has {len(data) - 8 - length}")
    return "safetensors"


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(text.decode("utf-8"), object_pairs_hook=_once)  # it starts with a brace
    except (ValueError, RecursionError):
        raise refused("E210", "the safetensors header is not JSON") from None
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise refused("E210", "the safetensors header uses one name twice")
    return found


def _piece(name: str, entry: Any, limits: Limits) -> tuple[int, int, int]:
    """Return where a tensor starts and stops, and its count of numbers."""
    limits.check("E618", "name_characters", len(name), "the name of a tensor has {} characters")
    if not (isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}):
        raise refused("E210", f"the safetensors header says not what {shown(name)} is")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not (isinstance(dtype, str) and dtype in BITS):
        raise refused("E210", f"tensor {shown(name)} is of an unknown type {shown(str(dtype))}")
    if not (_whole(shape) and _whole(offsets) and len(offsets) == 2 and len(shape) <= MOST_DIMENSIONS):
        raise refused("E210", f"tensor {shown(name)} has a shape or a place that is not whole numbers")
    count = 1
    for size in shape:
        count *= size
    if (count * BITS[dtype] + 7) // 8 != offsets[1] - offsets[0]:
        held = offsets[1] - offsets[0]
        raise refused("E211", f"tensor {shown(name)} claims {_short(count)} numbers, the file holds {held} bytes of it")
    return offsets[0], offsets[1], count


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _short(count: int) -> str:
    return str(count) if count < 10**15 else "more than 10^15"
