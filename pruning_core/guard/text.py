"""Texts and tables: UTF-8 without control characters, lines and columns within the limits."""

import codecs
import re

from pruning_core.guard.archive import Data
from pruning_core.guard.limits import Limits
from pruning_core.refusals import refused

CHUNK = 1 << 20
DELIMITERS = (b",", b"\t", b";")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_NUMBER = re.compile(rb"\s*\"?[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\"?\s*")


def is_text(data: Data) -> bool:
    """Return whether the file starts like a text: its first bytes are no control characters."""
    return not _CONTROL.search(bytes(data[:4096]))


def check_text(data: Data, limits: Limits) -> str:
    """Return the kind, a table where lines below the first hold numbers between delimiters; else a text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), CHUNK):
        chunk = bytes(data[start : start + CHUNK])
        _decode(decoder, chunk, start, start + CHUNK >= len(data))
        control = _CONTROL.search(chunk)
        if control:
            raise refused("E316", f"byte {start + control.start()} of the text is a control character")
    _check_lines(data, limits)
    delimiter = _delimiter(data)
    if delimiter is None:
        return "text"
    _check_table(data, delimiter, limits)
    return "table"


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, start: int, is_last: bool) -> None:
    try:
        decoder.decode(chunk, is_last)
    except UnicodeDecodeError as error:
        raise refused("E316", f"near byte {start + error.start} the text is not UTF-8") from None


def _check_lines(data: Data, limits: Limits) -> None:
    longest, length = limits.line_kb << 10, 0  # of the line so far
    for start in range(0, len(data), CHUNK):
        first, *others = bytes(data[start : start + CHUNK]).split(b"\n")
        length += len(first)
        if max(length, *map(len, others), 0) > longest:
            raise limits.exceeded("E618", "line_kb", f"a line of the text has more than {limits.line_kb} kB")
        length = len(others[-1]) if others else length


def _delimiter(data: Data) -> bytes | None:
    """Return what separates the columns of the second line, when all or most of it is numbers."""
    lines = [line for line in bytes(data[:CHUNK]).splitlines()[:2] if line.strip()]
    for delimiter in DELIMITERS:
        fields = lines[-1].split(delimiter) if lines else []
        if len(fields) > 1 and 2 * sum(bool(_NUMBER.fullmatch(field)) for field in fields) >= len(fields):
            return delimiter
    return None


def _check_table(data: Data, delimiter: bytes, limits: Limits) -> None:
    first = bytes(data[: limits.line_kb << 10]).split(b"\n", 1)[0]
    limits.check("E610", "columns", first.count(delimiter) + 1, "the table has {} columns")
    cells = sum(
        chunk.count(delimiter) + chunk.count(b"\n")
        for chunk in (bytes(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK))
    )
    limits.check("E612", "numbers", cells, "the table has {} cells")
