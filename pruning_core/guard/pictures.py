"""Headers of pictures: how many pixels one would have, read without unpacking it."""

import struct

from pruning_core.guard.archive import Data, Entry, head
from pruning_core.guard.limits import Limits
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
ENOUGH = 1 << 20  # bytes in which a JPEG names its size, behind previews and colour profiles
MOST_SEGMENTS = 500  # of a JPEG before its size
_NO_SIZE = {0x01, *range(0xD0, 0xDA)}  # JPEG markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that name the size
Size = tuple[int, int]


def is_picture(name: str) -> bool:
    """Return whether a file in an archive is one that is read as a picture."""
    last = name.rpartition("/")[2]
    return name.lower().endswith(SUFFIXES) and not last.startswith("._") and not name.startswith("__MACOSX/")


def check_pictures(data: Data, found: list[Entry], limits: Limits) -> str:
    """Return the kind of an archive of pictures; files of other kinds in it are not read."""
    for entry in filter(lambda entry: is_picture(entry.name), found):
        check_picture(head(data, entry, ENOUGH), f"picture {shown(entry.name)}", limits)
    return "images"


def check_picture(beginning: bytes, what: str, limits: Limits) -> None:
    """Refuse a picture that is none, or has too many pixels."""
    try:
        size = _size(beginning)
    except (struct.error, IndexError):
        size = None
    if size is None or min(size) < 1:
        raise refused("E313", f"{what} is not a PNG, JPEG, BMP, GIF or WebP, or it is damaged")
    limits.check("E613", "megapixels", size[0] * size[1] / 1e6, f"{what} has {{}} million pixels")


def _size(data: bytes) -> Size | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return _pair(">II", data, 16)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _pair("<HH", data, 6)
    if data[:2] == b"BM":
        width, height = _pair("<ii", data, 18)
        return width, abs(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return _jpeg(data) if data[:2] == b"\xff\xd8" else None


def _pair(form: str, data: bytes, place: int) -> Size:
    first, second = struct.unpack_from(form, data, place)
    return first, second


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[place : place + 3], "little") for place in (24, 27))
        return wide + 1, high + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        wide, high = _pair("<HH", data, 26)
        return wide & 0x3FFF, high & 0x3FFF
    return None


def _jpeg(data: bytes) -> Size | None:
    place = 2
    for _ in range(MOST_SEGMENTS):
        if place + 4 > len(data) or data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _NO_SIZE:
            place += 2
        elif marker in _FRAMES:
            high, wide = _pair(">HH", data, place + 5)
            return wide, high
        else:
            place += 2 + max(2, int(_pair(">HH", data, place + 2)[0]))
    return None
