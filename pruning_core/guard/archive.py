"""Zip archives as they lie in bytes: the directory at the end, and that each file's own header agrees with it.

Readers differ in which of the two they believe, so a file on which they could differ is refused.
Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
import zlib
from dataclasses import dataclass

from pruning_core.guard.limits import Limits
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

START, MIDDLE, END, END_64, LOCATOR_64 = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7"
STORED, DEFLATED = 0, 8
LONGEST_COMMENT = 65_535
ENCRYPTED, UTF_8 = 1, 0x800  # bits of the flags
LINK, FILE_TYPE = 0o120000, 0o170000
SMALL_MB = 64  # a file up to this size may be as regular as it likes
Data = memoryview


@dataclass(frozen=True)
class Entry:
    """One file of an archive."""

    name: str
    method: int
    packed: int  # bytes in the archive
    size: int  # bytes when unpacked, as the archive says
    start: int  # where its packed bytes lie


def entries(data: Data, limits: Limits, code: str = "E302") -> list[Entry]:
    """Return the files of an archive, none of which is unsafe, twice there, encrypted or too large; no folders."""
    try:
        return _entries(data, limits, code)
    except (struct.error, OverflowError):
        raise refused(code, "the archive's list of files is damaged") from None


def head(data: Data, entry: Entry, n_bytes: int, code: str = "E302") -> bytes:
    """Return the first bytes of a file in the archive, unpacked, no more than it says it has."""
    n_bytes = min(n_bytes, entry.size)
    packed = data[entry.start : entry.start + entry.packed]
    if entry.method == STORED:
        return bytes(packed[:n_bytes])
    try:
        return zlib.decompressobj(-15).decompress(packed, n_bytes) if n_bytes else b""  # of which 0 means all
    except zlib.error:
        raise refused(code, f"{shown(entry.name)} in the archive is damaged") from None


def _entries(data: Data, limits: Limits, code: str) -> list[Entry]:
    count, place, end = _directory(data, code)
    limits.check("E607", "archive_files", count, "the archive has {} files")
    found, names, total = [], set[str](), 0
    for _ in range(count):
        if data[place : place + 4] != MIDDLE:
            raise refused(code, "the archive's list of files is damaged")
        entry, place = _entry(data, place, limits, code)
        if entry.name in names:
            raise refused("E604", f"the archive holds {shown(entry.name)} twice")
        names.add(entry.name)
        total += entry.size
        limits.check("E606", "unpacked_mb", total / 2**20, "the archive unpacks to {} MB")
        found.append(entry)
    if place != end:
        raise refused(code, "the archive's list of files is damaged")
    _check_apart(found, code)
    return [entry for entry in found if not entry.name.endswith("/")]


def _directory(data: Data, code: str) -> tuple[int, int, int]:
    """Return how many files the directory lists, where it starts and where it ends."""
    tail_start = max(0, len(data) - LONGEST_COMMENT - 22)
    tail = bytes(data[tail_start:])
    found = tail.rfind(END)
    if found < 0 or len(tail) - found < 22:
        raise refused(code, "the archive is cut short: its list of files at the end is missing")
    disk, other, here, count, size, start, comment = struct.unpack_from("<HHHHIIH", tail, found + 4)
    end = tail_start + found
    if len(tail) - found - 22 != comment or disk or other or here != count:
        raise refused(code, "the archive has bytes behind its end, or goes on in another file")
    if count == 0xFFFF or size == 0xFFFFFFFF or start == 0xFFFFFFFF or data[end - 20 : end - 16] == LOCATOR_64:
        count, size, start, end = _directory_64(data, end - 20, code)
    if start + size != end:
        raise refused(code, "the archive has bytes before its start or behind its list of files")
    return count, start, end


def _directory_64(data: Data, locator: int, code: str) -> tuple[int, int, int, int]:
    if locator < 0 or data[locator : locator + 4] != LOCATOR_64:
        raise refused(code, "the archive's list of files is damaged")
    place = struct.unpack_from("<Q", data, locator + 8)[0]
    if place + 56 > len(data) or data[place : place + 4] != END_64 or place + 56 != locator:
        raise refused(code, "the archive's list of files is damaged")
    count, size, start = struct.unpack_from("<QQQ", data, place + 32)
    return count, size, start, place


def _entry(data: Data, place: int, limits: Limits, code: str) -> tuple[Entry, int]:
    flags, method = struct.unpack_from("<HH", data, place + 8)
    packed, size, n_name, n_extra, n_comment = struct.unpack_from("<IIHHH", data, place + 20)
    attributes, header = struct.unpack_from("<II", data, place + 38)
    limits.check("E618", "name_characters", n_name, "a name in the archive has {} bytes")
    raw = bytes(data[place + 46 : place + 46 + n_name])
    name = _name(raw, flags)
    extra = bytes(data[place + 46 + n_name : place + 46 + n_name + n_extra])
    size, packed, header = _wide(extra, size, packed, header, code)
    _check_safe(name, flags, method, attributes)
    _check_size(name, packed, size, method, limits, code)
    start = _start(data, header, raw, method, code)
    if start + packed > len(data):
        raise refused(code, f"{shown(name)} in the archive is cut short")
    return Entry(name, method, packed, size, start), place + 46 + n_name + n_extra + n_comment


def _name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & UTF_8 else "cp437")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def _wide(extra: bytes, size: int, packed: int, header: int, code: str) -> tuple[int, int, int]:
    """Return sizes and place, read from the extra field 1 where 32 bits do not hold them."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            wide = [value[0] for value in struct.iter_unpack("<Q", extra[place + 4 : place + 4 + length // 8 * 8])]
            wanted = [value == 0xFFFFFFFF for value in (size, packed, header)]
            if sum(wanted) > len(wide):
                raise refused(code, "the archive's list of files is damaged")
            size, packed, header = (
                wide.pop(0) if wide and want else value
                for want, value in zip(wanted, (size, packed, header), strict=True)
            )
        place += 4 + length
    return size, packed, header


def _check_safe(name: str, flags: int, method: int, attributes: int) -> None:
    if flags & ENCRYPTED:
        raise refused("E605", f"{shown(name)} in the archive is encrypted")
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise refused("E603", f"the archive holds the unsafe path {shown(name)}")
    if (attributes >> 16) & FILE_TYPE == LINK:
        raise refused("E603", f"{shown(name)} in the archive is a link")
    if method not in (STORED, DEFLATED):
        raise refused("E608", f"{shown(name)} in the archive is packed by method {method}")


def _check_size(name: str, packed: int, size: int, method: int, limits: Limits, code: str) -> None:
    if method == STORED and packed != size:
        raise refused(code, f"{shown(name)} in the archive has two sizes")
    if size > SMALL_MB << 20:
        limits.check("E606", "expansion", size // max(1, packed), f"{shown(name)} in the archive expands {{}} times")


def _start(data: Data, header: int, raw: bytes, method: int, code: str) -> int:
    """Return where a file's bytes start, when its own header tells the same as the directory."""
    own_flags, own_method = struct.unpack_from("<HH", data, header + 6)
    n_name, n_extra = struct.unpack_from("<HH", data, header + 26)
    own = bytes(data[header + 30 : header + 30 + n_name])
    if data[header : header + 4] != START or own != raw or own_method != method or own_flags & ENCRYPTED:
        raise refused(code, f"{shown(raw)} stands in the archive's list in another way than in the archive")
    return int(header + 30 + n_name + n_extra)


def _check_apart(found: list[Entry], code: str) -> None:
    """Refuse files that share bytes: ten megabytes can hold petabytes that way (Fifield 2019)."""
    end = 0
    for entry in sorted(found, key=lambda entry: entry.start):
        if entry.start < end:
            raise refused(code, f"{shown(entry.name)} shares its bytes with another file of the archive")
        end = entry.start + entry.packed
