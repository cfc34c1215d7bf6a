"""The scanner tells or refuses, whatever the bytes; the long run is tests/fuzz/scanner.py."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from pruning_core.errors import FileRefused, PruningError
from pruning_core.guard import KINDS, Limits, check, check_bytes, onnx_scan, onnx_tensors, pickles, suffix_of
from pruning_core.guard.shown import shown
from pruning_core.refusals import REFUSALS
from tests.fuzz.mutations import mutated
from tests.fuzz.scanner import outcome
from tests.fuzz.seeds import good

FILES = good()
KNOWN = {*KINDS, *REFUSALS}
STARTS = [
    b"",
    b"PK\3\4",
    b"\x08\x0a\x3a",
    b"\x93NUMPY\x01\x00",
    b"\x80\x02",
    b"\xff\x00\x00\x00\x00\x00\x00\x00{",
    b"a,1\n",
]


@given(st.integers(0, 2**62))
@settings(max_examples=1000, deadline=1000)
def test_mutated_files_are_told_or_refused(number: int) -> None:
    assert outcome(mutated(FILES, number)) in KNOWN


@given(st.sampled_from(STARTS), st.binary(max_size=400))
@settings(max_examples=500, deadline=1000)
def test_any_bytes_are_told_or_refused(start: bytes, rest: bytes) -> None:
    assert outcome(start + rest) in KNOWN


def test_good_files_are_told_by_content() -> None:
    told = [check_bytes(content) for content in FILES]
    assert told == [
        *["onnx"] * 4,
        "safetensors",
        "state_dict",
        "state_dict",
        "npy",
        "npz",
        "npz",
        "images",
        "table",
        "text",
    ]


@pytest.mark.parametrize("content", [*FILES[:6], *FILES[7:11]], ids=range(10))
def test_a_file_cut_short_is_never_taken_for_whole(content: bytes) -> None:
    """Every prefix is refused, but of ONNX, which may end between two fields, and of torch's from before 1.6."""
    told = {outcome(content[:length]) for length in range(1, len(content))}
    assert {kind for kind in told if kind in KINDS} <= {"text", "onnx"}


def test_tables_agree_with_the_libraries() -> None:
    assert onnx_scan.NEWEST[""] == onnx.defs.onnx_opset_version()
    assert {*onnx_tensors.BITS, TensorProto.STRING, TensorProto.UNDEFINED} == set(TensorProto.DataType.values())
    from torch._weights_only_unpickler import _get_allowed_globals

    known = {
        name.replace(".", " ", 1) if name.count(".") == 1 else " ".join(name.rsplit(".", 1))
        for name in _get_allowed_globals()
    }
    assert known >= pickles.TENSORS_ONLY


def test_limits_are_named_in_what_they_refuse() -> None:
    limits = Limits.from_environment({"PRUNING_EXPLORER_NODES": "1", "PRUNING_EXPLORER_OTHER": "x"})
    assert limits.nodes == 1
    with pytest.raises(FileRefused, match=r"the limit is 1 \(PRUNING_EXPLORER_NODES\)"):
        check_bytes(FILES[0], limits)
    with pytest.raises(PruningError, match="PRUNING_EXPLORER_FILE_MB is '-3'; a whole number above 0 is needed"):
        Limits.from_environment({"PRUNING_EXPLORER_FILE_MB": "-3"})


@pytest.mark.parametrize(
    ("limit", "content", "code"),
    [
        ("unpacked_mb", None, "E606"),
        ("archive_files", FILES[8], "E607"),
        ("names", FILES[0], "E610"),
        ("name_characters", FILES[0], "E618"),
        ("numbers", FILES[0], "E612"),
        ("numbers", FILES[4], "E612"),
        ("columns", FILES[11], "E610"),
    ],
)
def test_each_limit_refuses(limit: str, content: bytes | None, code: str) -> None:
    from tests.hostile.archives import _claimed

    with pytest.raises(FileRefused) as caught:
        check_bytes(content or _claimed(2 << 20), Limits(**{limit: 1}))
    assert caught.value.code == code
    assert f"PRUNING_EXPLORER_{limit.upper()}" in str(caught.value)


def test_places_that_are_no_files(tmp_path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    codes = {"pipe": "E619", "": "E619", "nothing": "E621", "a\0b": "E621", "large": "E601"}
    for name, code in codes.items():
        with pytest.raises(FileRefused) as caught:
            check(tmp_path / name, Limits(file_mb=1))
        assert caught.value.code == code, name


def test_names_are_shown_without_what_they_would_do() -> None:
    assert shown("\u202egnp.exe\n\0") == "'U+202Egnp.exeU+000AU+0000'"
    assert shown(b"\xff" + b"a" * 99) == f"'\ufffd{'a' * 59}…'"


def test_kinds_have_names_to_store_under() -> None:
    assert (suffix_of("state_dict", ".PTH"), suffix_of("state_dict", ".onnx")) == (".pth", ".pt")
