"""Pictures that unpack to gigabytes, or are none."""

import struct
import zlib
from pathlib import Path

from tests.hostile.case import Case, zipped

KIND = "pictures"


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    made = {
        "PNG of 900 million pixels": ("E613", "a.png", png(30_000, 30_000)),
        "PNG of 2^62 pixels": ("E613", "a.png", png(2**31 - 1, 2**31 - 1)),
        "PNG of no pixels": ("E313", "a.png", png(0, 10)),
        "PNG cut short": ("E313", "a.png", png(5, 5)[:18]),
        "PNG without a header": ("E313", "a.png", b"\x89PNG\r\n\x1a\n" + bytes(20)),
        "JPEG of 4,000 million pixels": ("E613", "a.jpg", jpeg(65_500, 65_500)),
        "JPEG without a size": ("E313", "a.jpg", b"\xff\xd8\xff\xd9"),
        "JPEG of one endless segment": ("E313", "a.jpeg", b"\xff\xd8\xff\xe0\xff\xff" + bytes(100)),
        "JPEG of empty segments": ("E313", "a.jpg", b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000),
        "GIF of 4,000 million pixels": ("E613", "a.gif", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(9)),
        "BMP of 10^12 pixels": ("E613", "a.bmp", b"BM" + bytes(16) + struct.pack("<ii", 10**6, -(10**6)) + bytes(9)),
        "BMP of a width below 0": ("E313", "a.bmp", b"BM" + bytes(16) + struct.pack("<ii", -5, 5) + bytes(9)),
        "WebP of 2^48 pixels": ("E613", "a.webp", b"RIFF    WEBPVP8X" + bytes(8) + b"\xff" * 6),
        "WebP of no kind": ("E313", "a.webp", b"RIFF    WEBPVP9 " + bytes(20)),
        "text named as PNG": ("E313", "a.png", b"<script>alert(1)</script>"),
        "SVG named as PNG": ("E313", "a.png", b"<svg onload='alert(1)'/>"),
        "nothing named as PNG": ("E313", "a.png", b""),
        "PNG whose pixels are damaged": ("E313|E302", "a.png", png(28, 28, b"\0" * 40)),
    }
    found = [
        Case(KIND, name, "evil.zip", lambda file=file, content=content: _in_class(file, content), code)
        for name, (code, file, content) in made.items()
    ]
    good = png(4, 4, zlib.compress(b"\0" * 20))
    found += [
        Case(KIND, "only system files", "evil.zip", lambda: zipped({"__MACOSX/cats/._a.png": good}), "E314"),
        Case(KIND, "only other files", "evil.zip", lambda: zipped({"cats/a.exe": b"MZ", "b.txt": b"x"}), "E314"),
        Case(KIND, "one bare picture", "evil.png", lambda: good, "E301"),
    ]
    return found


def _in_class(file: str, content: bytes) -> bytes:
    return zipped({f"cats/{file}": content, f"dogs/{file}": content})


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """Return a grey picture of this size, whatever its packed pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def jpeg(width: int, height: int) -> bytes:
    """Return the headers of a JPEG of this size."""
    return b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00\xff\xd9"
