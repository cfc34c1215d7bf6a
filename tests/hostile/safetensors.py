"""Headers of safetensors that lie about places, shapes and lengths."""

import struct
from pathlib import Path
from typing import Any

from tests.hostile.case import LENET, Case, safetensors

KIND = "safetensors"


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    twice = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    headers: dict[str, tuple[str, Any, bytes]] = {
        "10^12 numbers": ("E211", {"a": _entry([10**6, 10**6], 0, 4)}, bytes(4)),
        "overflow of 64 bits": ("E211", {"a": _entry([2**32, 2**32], 0, 0)}, b""),
        "overlap": ("E210", {"a": _entry([2], 0, 8), "b": _entry([2], 4, 12)}, bytes(12)),
        "a gap": ("E210", {"a": _entry([1], 0, 4), "b": _entry([1], 8, 12)}, bytes(12)),
        "a gap before": ("E210", {"a": _entry([1], 4, 8)}, bytes(8)),
        "bytes behind": ("E210", {"a": _entry([1], 0, 4)}, bytes(9)),
        "cut short": ("E210", {"a": _entry([4], 0, 16)}, bytes(8)),
        "the same bytes twice": ("E210", {"a": _entry([1], 0, 4), "b": _entry([1], 0, 4)}, bytes(4)),
        "one name twice": ("E210", twice, bytes(4)),
        "unknown type": ("E210", {"a": _entry([1], 0, 4, "F33")}, bytes(4)),
        "type is a list": ("E210", {"a": _entry([1], 0, 4) | {"dtype": []}}, bytes(4)),
        "shape below 0": ("E210", {"a": _entry([-1], 0, 4)}, bytes(4)),
        "shape is a fraction": ("E210", {"a": _entry([1.0], 0, 4)}, bytes(4)),
        "shape is true": ("E210", {"a": _entry([True], 0, 4)}, bytes(4)),
        "shape is a text": ("E210", {"a": _entry([], 0, 4) | {"shape": "1"}}, bytes(4)),
        "100 dimensions": ("E210", {"a": _entry([1] * 100, 0, 4)}, bytes(4)),
        "backwards": ("E211", {"a": _entry([1], 4, 0)}, bytes(4)),
        "places beyond 64 bits": ("E210", {"a": _entry([1], 0, 2**70)}, bytes(4)),
        "three places": ("E210", {"a": _entry([1], 0, 4) | {"data_offsets": [0, 2, 4]}}, bytes(4)),
        "something else in an entry": ("E210", {"a": _entry([1], 0, 4) | {"run": "evil"}}, bytes(4)),
        "no entry": ("E210", {"a": None}, b""),
        "not JSON": ("E210", b"{evil}", b""),
        "not UTF-8": ("E210", b'{"\xff": 1}', b""),
        "nested deep": ("E210", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
        "a number of 5,000 digits": ("E210", b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b"]}}", b""),
        "300,000 tensors": ("E610|E618", {f"{i}": _entry([0], 0, 0) for i in range(300_000)}, b""),
        "no tensors": ("E243", {}, b""),
        "no weights of this model": ("E241", {"evil": _entry([1], 0, 4)}, bytes(4)),
    }
    found = [
        Case(
            KIND,
            name,
            "evil.safetensors",
            lambda header=header, numbers=numbers: safetensors(header, numbers),
            code,
            LENET,
        )
        for name, (code, header, numbers) in headers.items()
    ]
    lengths = {"2^47": 2**47, "one more than there is": 3, "nearly all": 2**40}
    found += [
        Case(
            KIND, f"header of {name} bytes", "evil.safetensors", lambda n=n: struct.pack("<Q", n) + b"{}", "E210", LENET
        )
        for name, n in lengths.items()
    ]
    return found


def _entry(shape: list[Any], start: int, stop: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
