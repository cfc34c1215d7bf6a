"""Data that would give a wrong accuracy without any error: labels, shapes, tables, texts."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.hostile.case import Case, array_header, npy, zipped

KIND = "data"
LENET = "lenet_300_100"
X = np.zeros((4, 1, 28, 28), np.uint8)


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    y = np.arange(4)
    arrays = {
        "a label too large": ("E310", {"x": X, "y": np.array([0, 1, 2, 99])}),
        "a label below 0": ("E310", {"x": X, "y": np.array([0, 1, 2, -1])}),
        "the label that losses skip": ("E310", {"x": X, "y": np.array([0, 1, 2, -100])}),
        "a label too few": ("E308", {"x": X, "y": y[:3]}),
        "a label too many": ("E308", {"x": X, "y": np.arange(5)}),
        "labels of two dimensions": ("E308", {"x": X, "y": np.zeros((4, 7), int)}),
        "one label for all": ("E308", {"x": X, "y": np.array(3)}),
        "labels with fractions": ("E309", {"x": X, "y": np.array([0.5, 1.5, 2.0, 3.0])}),
        "labels as texts": ("E309|E305", {"x": X, "y": np.array(["a", "b", "c", "d"])}),
        "no examples": ("E306", {"x": X[:0], "y": y[:0]}),
        "examples without numbers": ("E306|E311", {"x": X[:, :, :0], "y": y}),
        "one number": ("E306", {"x": np.array(1.0), "y": np.array(1)}),
        "inputs as texts": ("E305", {"x": np.array(["a"] * 4), "y": y}),
        "inputs as complex numbers": ("E305", {"x": X.astype(np.complex64), "y": y}),
        "inputs as dates": ("E305", {"x": np.zeros((4, 3), "datetime64[s]"), "y": y}),
        "no inputs": ("E304", {"a": X, "b": y}),
        "other channels": ("E311", {"x": np.zeros((4, 3, 28, 28), np.uint8), "y": y}),
        "other size": ("E311", {"x": np.zeros((4, 1, 27, 28), np.uint8), "y": y}),
        "flat": ("E311", {"x": np.zeros((4, 783), np.uint8), "y": y}),
    }
    found = [
        Case(KIND, name, "evil.npz", lambda content=content: _saved(content), code, model=_needs_model(code))
        for name, (code, content) in arrays.items()
    ]
    mixed = "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }"
    numbers = {
        "records of objects": ("E303", npy(mixed, bytes(16))),
        "records": ("E305", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", bytes(4))),
        "header is a program": ("E305", npy("__import__('os').system('true')", bytes(4))),
        "header nested deep": ("E305", npy("(" * 9000 + ")" * 9000)),
        "header without shape": ("E305", npy("{'descr': '<f4', 'fortran_order': False}", bytes(4))),
        "header twice": ("E305", npy(array_header("(1,)") + array_header("(1,)"), bytes(4))),
        "unknown version": ("E302", b"\x93NUMPY\x09\x00" + bytes(64)),
        "cut short": ("E302|E317", b"\x93NUMPY\x01"),
    }
    found += [
        Case(KIND, f"npy: {name}", "evil.npy", lambda content=content: content, code)
        for name, (code, content) in numbers.items()
    ]
    texts = {
        "not UTF-8": ("E316", "evil.txt", b"caf\xe9 au lait\n" * 9),
        "UTF-16": ("E201|E316", "evil.txt", "text".encode("utf-16")),
        "a control character": ("E316", "evil.txt", b"a" * 5000 + b"\x00"),
        "a line of 5 MB": ("E618", "evil.txt", b"a" * (5 << 20)),
        "table of 200,000 columns": ("E610", "evil.csv", b",".join([b"1"] * 200_000) + b"\n" + b"1," * 200_000),
        "table cut in a character": ("E316", "evil.csv", b"a,b\n1,2\n\xe2\x82"),
        "terminal escapes": ("E201|E316", "evil.csv", b"\x1b]0;evil\x07a,b\n1,2\n"),
        "array in an archive is none": ("E302", "evil.npz", zipped({"x.npy": b"not an array"})),
    }
    found += [
        Case(KIND, name, file, lambda content=content: content, code) for name, (code, file, content) in texts.items()
    ]
    return found


def _needs_model(code: str) -> str | None:
    """Only what is wrong for one model is asked with it: tracing it takes longest."""
    return LENET if code.startswith(("E308", "E309", "E310", "E311")) else None


def _saved(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
