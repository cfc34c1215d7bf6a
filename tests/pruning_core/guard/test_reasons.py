"""Each check of the scanner alone: files with one fault, and the sentence that tells it."""

import io
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import helper

from pruning_core.errors import FileRefused
from pruning_core.guard import Limits, check, check_bytes
from pruning_core.guard.archive import entries
from pruning_core.guard.text import CHUNK
from tests.fuzz.scanner import outcome
from tests.hostile.archives import GOOD, _patched
from tests.hostile.case import array_header, call, npy, onnx, relu, safetensors, shape, tensor, torch_zip, zipped
from tests.hostile.onnx_bombs import _functions, _length, _nested
from tests.hostile.pictures import png

DIRECTORY, END = GOOD.index(b"PK\1\2"), GOOD.index(b"PK\5\6")
FOUR = bytes(4)
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
NETWORK = onnx([relu()], [tensor("w", [1], FOUR)])


def wide(count: int = 2, start: int = DIRECTORY, place: int | None = None, locator: bytes = b"PK\6\7") -> bytes:
    """Return the archive with the directory's end in 64 bits."""
    size = END - DIRECTORY
    end = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, start)
    where = locator + struct.pack("<IQI", 0, END if place is None else place, 1)
    return GOOD[:END] + end + where + _patched(GOOD[END:], 8, b"\xff" * 12)


def _without_wide_size() -> bytes:
    """Return an archive that says its size has 64 bits, and does not give it."""
    entry, buffer = zipfile.ZipInfo("x.npy"), io.BytesIO()
    entry.extra = struct.pack("<HH", 1, 0)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, b"abc")
    return _patched(buffer.getvalue(), buffer.getvalue().index(b"PK\1\2") + 24, b"\xff" * 4)


def _zeros() -> bytes:
    """Return an archive of a file of few bytes that says it has 70 MB."""
    content = zipped({"x.npy": bytes(70_000)}, zipfile.ZIP_DEFLATED)
    return content.replace(struct.pack("<I", 70_000), struct.pack("<I", 70 << 20))


def one_in_another() -> bytes:
    """Return an archive whose second file lies in the bytes of the first, with a header of its own."""
    inner = zipped({"b.npy": b"b"})
    whole = zipped({"a.npy": inner[: inner.index(b"PK\1\2")], "b.npy": b"b"})
    second, place = whole.rindex(b"PK\1\2"), whole.index(b"PK\3\4", 4)
    return _patched(whole, second + 42, struct.pack("<I", place))


REASONS = [
    ("list of files at the end is missing", GOOD[:-30]),
    ("bytes behind its end", GOOD + b"evil"),
    ("bytes before its start", b"PK\3\4evil" + GOOD),
    ("list of files is damaged", _patched(GOOD, DIRECTORY, b"XXXX")),
    ("list of files is damaged", _patched(GOOD, END + 8, struct.pack("<HH", 1, 1))),
    ("list of files is damaged", _without_wide_size()),
    ("list of files is damaged", wide(locator=b"PKxx")),
    ("list of files is damaged", wide(place=3)),
    ("bytes before its start", wide(start=3)),
    ("in another way than in the archive", _patched(GOOD, DIRECTORY + 46, b"z")),
    (
        "'y.npy' in the archive is cut short",
        _patched(GOOD, GOOD.rindex(b"PK\1\2") + 20, struct.pack("<II", 9999, 9999)),
    ),
    ("shares its bytes with another file", one_in_another()),
    ("'x.npy' in the archive is encrypted", _patched(GOOD, DIRECTORY + 8, b"\1\0")),
    ("neither arrays nor .png", zipped({"a.exe": b"MZ"})),
    ("does not start as an ONNX model", b"\x08\x00" + NETWORK[2:]),
    ("holds 2 graphs", NETWORK + NETWORK),
    ("holds no graphs", b"\x08\x0a"),
    ("ONNX file is cut short at byte", NETWORK[:30]),
    ("ONNX file is cut short at byte", NETWORK + b"\x11\x00"),
    ("ONNX file is damaged at byte", NETWORK + b"\x0b"),
    ("ONNX file is damaged at byte", NETWORK + b"\xff" * 11),
    ("TensorFlow Lite", b"\x1c\0\0\0TFL3" + bytes(60)),
    ("a tar archive", bytes(257) + b"ustar" + bytes(250)),
    ("HDF5", b"\x89HDF\r\n\x1a\n"),
    ("one picture", png(4, 4)),
    ("a Python pickle", call("os", "system", "x")),
]


@pytest.mark.parametrize(("sentence", "content"), REASONS, ids=range(len(REASONS)))
def test_one_fault_is_told(sentence: str, content: bytes) -> None:
    assert sentence in _refused(content)


LIMITED = [
    ("archive_files", "the archive has 2 files", GOOD),
    ("expansion", "'x.npy' in the archive expands", _zeros()),
    ("numbers", "the weights have 3 numbers", onnx([relu()], [tensor("w", [3], bytes(12))], sizes=(1, 1))),
    (
        "numbers",
        "the weights have 2 numbers",
        safetensors({"a": ENTRY, "b": ENTRY | {"data_offsets": [4, 8]}}, bytes(8)),
    ),
    ("numbers", "the table has", b"a,b\n1,2\n"),
    ("names", "the file has 2 tensors", safetensors({"a": ENTRY, "b": ENTRY | {"data_offsets": [4, 8]}}, bytes(8))),
    ("header_mb", "the header has 1.", safetensors({"__metadata__": {"a": "b" * (5 << 18)}})),
    ("header_mb", "the list of tensors has 1.", torch_zip(b"\x80\x02" + b"N" * (5 << 18) + b".")),
    ("line_kb", "a line of the text has more than 1 kB", b"a" * 1025),
    ("line_kb", "a line of the text has more than 1 kB", b"a\n" * CHUNK + b"a" * 1025 + b"\na"),
    ("nesting", "the limit is 1 (PRUNING_EXPLORER_NESTING)", onnx([_nested(2)])),
    ("nodes", "the model has 2 operators or more", onnx([relu("x", "t"), relu("t", "y")])),
    ("megapixels", "has 1.2 million pixels", zipped({"cats/a.png": png(1200, 1000)})),
]


@pytest.mark.parametrize(("limit", "sentence", "content"), LIMITED, ids=range(len(LIMITED)))
def test_each_limit_is_told(limit: str, sentence: str, content: bytes) -> None:
    told = _refused(content, Limits(**{limit: 1}))
    assert sentence in told
    assert f"(PRUNING_EXPLORER_{limit.upper()})" in told


def test_a_pickle_of_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.guard.pickles.MOST_OPCODES", 5)
    assert "more than 5 steps" in _refused(torch_zip(b"\x80\x02" + b"N" * 5 + b"."))


def test_archives_of_64_bits_are_read() -> None:
    """As they are written for large ones, and where only a file's own header has wide sizes."""
    arrays = {"x.npy": npy(array_header("(1,)"), FOUR), "y.npy": npy(array_header("(1,)"), FOUR)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in arrays.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    assert check_bytes(buffer.getvalue()) == "npz"
    assert [entry.name for entry in entries(memoryview(wide()), Limits())] == ["x.npy", "y.npy"]


def test_a_comment_in_an_archive_is_read_over() -> None:
    buffer = io.BytesIO(zipped({"x.npy": npy(array_header("(1,)"), FOUR)}))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"made by somebody"
    assert check_bytes(buffer.getvalue()) == "npz"


def test_functions_that_stay_small_are_let_through() -> None:
    """torch.onnx.export(dynamo=True) writes some."""
    assert check_bytes(_functions(2, 8)) == "onnx"
    assert "256 operators" in _refused(_functions(2, 8), Limits(nodes=255))


def test_shapes_within_the_limit_are_let_through() -> None:
    nodes = [helper.make_node("Expand", ["x", "s"], ["y"])]
    assert check_bytes(onnx(nodes, [shape("s", [1000, 1000])])) == "onnx"
    assert "makes a tensor of 1000000 numbers" in _refused(
        onnx(nodes, [shape("s", [1000, 1000])]), Limits(numbers=999_999)
    )


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FileRefused, match="the file is empty"):
        check(tmp_path / "empty")


def test_a_refusal_does_not_hold_on_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx([relu()], [tensor("w", [9], FOUR)]))
    with pytest.raises(FileRefused) as caught:
        check(path)
    assert caught.value.__context__ is None


def _refused(content: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(FileRefused) as caught:
        check_bytes(content, limits or Limits())
    return str(caught.value)


def _fields(content: bytes) -> bytes:
    """Return an ONNX file whose graph is these bytes."""
    return b"\x08\x0a\x3a" + _length(content) + content


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _length(content) + content


def _jpegs(segment: bytes) -> bytes:
    return zipped({f"cats/{i}.jpg": b"\xff\xd8" + segment * (400_000 // len(segment)) for i in range(20)})


ENDLESS = [
    ("E610", lambda: _fields(b"\x50\x00" * 3_000_001)),
    ("E211", lambda: _fields(_field(5, _field(1, b"\x01" * 6_000_000)))),  # dimensions of one tensor
    ("E305", lambda: npy(array_header("(" + "1" * 50_000 + "x)"))),
    ("E305", lambda: npy(array_header("(" + "1, " * 15_000 + "x)"))),
    ("E313", lambda: _jpegs(b"\xff")),
    ("E313", lambda: _jpegs(b"\xff\xe0\x00\x02")),
    ("text", lambda: b"a" * (4 << 20)),
    ("text", lambda: b"1" * (1 << 19) + b"x,"),
    ("text", lambda: b" " * (1 << 19) + b","),
    ("E210", lambda: safetensors(b"{" + b"[" * 4_000_000)),
]


@pytest.mark.parametrize(("told", "make"), ENDLESS, ids=range(len(ENDLESS)))
def test_no_file_takes_long(told: str, make: Callable[[], bytes]) -> None:
    """Files of some megabytes on which a careless reader would take minutes or hours."""
    content = make()
    started = time.process_time()
    assert outcome(content) == told
    assert time.process_time() - started < 8


@pytest.mark.parametrize("name", ["{", "}", "{}", "{0}", "{name!r}"])
def test_names_with_braces_stand_in_the_sentence_as_they_are(name: str) -> None:
    content = zipped({f"{name}.npy": bytes(70 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FileRefused, match=r"in the archive expands \d+ times, the limit is") as caught:
        check_bytes(content)
    assert name in str(caught.value)
