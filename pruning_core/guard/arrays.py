"""Headers of NumPy arrays: whether the shape that one claims fits its bytes, and that no Python objects are in it.

Format: numpy.lib.format. The header is read by a pattern, not evaluated.
"""

import re

from pruning_core.guard.archive import Data, Entry, head
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 65_536
_HEADER = re.compile(
    r"\s*\{\s*'descr':\s*'([<>|=]?)([a-zA-Z?])(\d{0,6})(?:\[[^'\]]{1,20}\])?',\s*'fortran_order':\s*(?:True|False),\s*"
    r"'shape':\s*\(((?:\d{1,19},\s*){0,64}(?:\d{1,19})?)\),?\s*\}\s*"
)
_OBJECTS = re.compile(r"'descr':\s*'\|?O|'O'|'\|O")


def check_npy(data: Data) -> str:
    """Return the kind of a file with one array."""
    _check_array(bytes(data[: LONGEST_HEADER + 12]), len(data), "the array")
    return "npy"


def check_npz(data: Data, found: list[Entry]) -> str:
    """Return the kind of an archive of arrays."""
    for entry in found:
        beginning = head(data, entry, LONGEST_HEADER + 12)
        _check_array(beginning, entry.size, f"array {shown(entry.name.removesuffix('.npy'))}")
    return "npz"


def _check_array(beginning: bytes, n_bytes: int, what: str) -> None:
    text, start = _header(beginning, what)
    found = _HEADER.fullmatch(text)
    if _OBJECTS.search(text):
        raise refused("E303", f"{what} holds Python objects, which can run code")
    if found is None:
        raise refused("E305", f"{what} is not an array of plain numbers")
    _, kind, size, shape = found.groups()
    count = 1
    for length in re.findall(r"\d+", shape):
        count *= int(length)
    width = int(size or 1) * (4 if kind == "U" else 1)
    if count * width != n_bytes - start:
        short = str(count) if count < 10**15 else "more than 10^15"
        raise refused("E317", f"{what} claims {short} numbers of {width} bytes, the file holds {n_bytes - start} bytes")


def _header(beginning: bytes, what: str) -> tuple[str, int]:
    """Return the text of the header, and where the numbers start."""
    width = 2 if beginning[6:7] == b"\1" else 4
    if beginning[:6] != MAGIC or beginning[6:7] not in (b"\1", b"\2", b"\3") or len(beginning) < 8 + width:
        raise refused("E302", f"{what} has no NumPy header")
    length = int.from_bytes(beginning[8 : 8 + width], "little")
    start = 8 + width + length
    if length > LONGEST_HEADER or start > len(beginning):
        raise refused("E317", f"{what} has a header of {length} bytes, more than the file holds or NumPy writes")
    return beginning[8 + width : start].decode("latin-1"), start
