"""Archives that lie about what they hold, expand without end, or differ from reader to reader."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np

from tests.hostile.case import Case, call, torch_zip, zipped

KIND = "archives"
GOOD = zipped({"x.npy": b"\x93NUMPY", "y.npy": b"\x93NUMPY"})


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    directory, end = GOOD.index(b"PK\1\2"), GOOD.index(b"PK\5\6")
    arrays = {
        "cut short": ("E302", lambda: GOOD[:-30]),
        "one byte less": ("E302", lambda: GOOD[:-1]),
        "only a start": ("E302", lambda: b"PK\3\4"),
        "empty": ("E602", lambda: zipped({})),
        "only folders": ("E602", lambda: zipped({"a/": b"", "b/": b""})),
        "bytes behind the end": ("E302", lambda: GOOD + b"evil"),
        "bytes before the start": ("E302", lambda: b"PK\3\4evil" + GOOD),
        "two archives": ("E302", lambda: GOOD + GOOD),
        "second end in the comment": ("E302", lambda: _commented(GOOD[end:])),
        "more files than said": ("E302", lambda: _patched(GOOD, end + 8, struct.pack("<HH", 1, 1))),
        "fewer files than said": ("E302", lambda: _patched(GOOD, end + 8, struct.pack("<HH", 3, 3))),
        "65,535 files said": ("E302", lambda: _patched(GOOD, end + 8, b"\xff\xff\xff\xff")),
        "list elsewhere": ("E302", lambda: _patched(GOOD, end + 16, struct.pack("<I", 7))),
        "on other disks": ("E302", lambda: _patched(GOOD, end + 4, b"\1\0")),
        "list damaged": ("E302", lambda: _patched(GOOD, directory, b"XXXX")),
        "name differs in the list": ("E302", lambda: _patched(GOOD, directory + 46, b"z")),
        "two entries share bytes": ("E302|E604", _shared),
        "one name twice": ("E604", lambda: _twice("x.npy")),
        "encrypted": ("E605", lambda: _patched(GOOD, directory + 8, b"\1\0")),
        "encrypted, said in one place": ("E302", lambda: _patched(GOOD, 6, b"\1\0")),
        "another method": ("E608", lambda: zipped({"x.npy": b"abc"}, zipfile.ZIP_LZMA)),
        "bzip2": ("E608", lambda: zipped({"x.npy": b"abc"}, zipfile.ZIP_BZIP2)),
        "two methods": ("E302", lambda: _patched(GOOD, 8, b"\x08\0")),
        "two sizes": ("E302", lambda: _patched(GOOD, directory + 24, struct.pack("<I", 999))),
        "entry beyond the end": ("E302", lambda: _patched(GOOD, directory + 20, struct.pack("<II", 9999, 9999))),
        "entry starts beyond the end": ("E302", lambda: _patched(GOOD, directory + 42, struct.pack("<I", 1 << 30))),
        "zeros of 80 MB": ("E606", lambda: zipped({"x.npy": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)),
        "3 GB said": ("E606", lambda: _claimed(3 << 30)),
        "many of 60 MB": ("E606", lambda: _claimed(60 << 20, 40)),
        "25,000 files": ("E607", lambda: zipped({f"{i}.npy": b"" for i in range(25_000)})),
        "damaged inside": ("E302", lambda: _patched(_deflated(), 40, b"\xff\xff\xff\xff")),
        "wide sizes that are not there": ("E302", lambda: _patched(GOOD, directory + 24, b"\xff\xff\xff\xff")),
        "an archive in an archive": ("E314", lambda: zipped({"inner.zip": GOOD})),
        "a name of 2,000 letters": ("E618", lambda: zipped({"a" * 2000 + ".npy": b""})),
    }
    found = [Case(KIND, name, "evil.npz", make, code) for name, (code, make) in arrays.items()]
    plain = call("collections", "OrderedDict")
    found += [
        Case(KIND, "torch file, compressed", "evil.pt", lambda: _compressed(plain), "E207"),
        Case(KIND, "torch file, two folders", "evil.pt", lambda: zipped({"a/data.pkl": plain, "b/x": b""}), "E207"),
        Case(KIND, "torch file, no folder", "evil.pt", lambda: zipped({"data.pkl": plain}), "E207"),
        Case(KIND, "torch file, deeper folder", "evil.pt", lambda: zipped({"a/b/data.pkl": plain}), "E207"),
        Case(KIND, "torch file, cut short", "evil.pt", lambda: torch_zip(plain)[:-40], "E302"),
        Case(KIND, "torch file without weights", "evil.pt", lambda: torch_zip(b"\x80\x02}."), "E243"),
        Case(KIND, "Keras", "net.onnx", lambda: zipped({"config.json": b"{}", "model.weights.h5": b""}), "E201"),
    ]
    return found


def _patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def _commented(comment: bytes) -> bytes:
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = comment
    return buffer.getvalue()


def _twice(name: str) -> bytes:
    other = chr(ord(name[0]) + 1) + name[1:]
    return zipped({name: b"a", other: b"b"}).replace(other.encode(), name.encode())


def _shared() -> bytes:
    """Return an archive whose second entry points at the first, under its name."""
    content = zipped({"a.npy": b"abc", "b.npy": b"abc"})
    second = content.rindex(b"PK\1\2")
    return _patched(_patched(content, second + 42, bytes(4)), second + 46, b"a")


def _claimed(size: int, count: int = 1) -> bytes:
    """Return an archive of deflated files that say they have `size` bytes."""
    content = zipped({f"{i}.npy": bytes(300_000) for i in range(count)}, zipfile.ZIP_DEFLATED)
    return content.replace(struct.pack("<I", 300_000), struct.pack("<I", size))


def _deflated() -> bytes:
    return zipped({"x.npy": np.random.default_rng(0).integers(0, 9, 500).tobytes()}, zipfile.ZIP_DEFLATED)


def _compressed(pickle: bytes) -> bytes:
    return zipped({"archive/data.pkl": pickle, "archive/data/0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
