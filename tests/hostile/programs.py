"""Exported programs, TorchScript and other files that are programs, whatever they are named."""

import io
import json
import warnings
from pathlib import Path

import torch
from torch import nn

from tests.hostile.case import Case, call, zipped

KIND = "pt2 and TorchScript"
STARTS = {
    "program of Linux": b"\x7fELF" + bytes(60),
    "program of Windows": b"MZ" + bytes(60),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "gzip": b"\x1f\x8b\x08" + bytes(60),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(60),
    "tar": bytes(257) + b"ustar" + bytes(250),
    "TensorFlow Lite": b"\x1c\0\0\0TFL3" + bytes(60),
    "GGUF": b"GGUF" + bytes(60),
    "PDF": b"%PDF-1.7" + bytes(60),
    "zeros": bytes(64),
    "noise": bytes(range(255, 155, -1)),
}


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    evil = call("os", "system", f"touch {marker}")
    symbol = json.dumps({"expr_str": f"__import__('os').system('touch {marker}')"}).encode()
    exported = {"p/archive_format": b"pt2", "p/models/model.json": b"{}"}
    pickled = b'{"config": {"w": {"use_pickle": true}}}'
    script = {"s/data.pkl": evil, "s/constants.pkl": evil}
    made = {
        "pt2, weights pickled": ("E206", exported | {"p/data/weights/model_weights_config.json": pickled}),
        "pt2, sample inputs pickled": ("E206", exported | {"p/data/sample_inputs/model.pt": evil}),
        "pt2, symbols evaluated": ("E206", exported | {"p/models/model.json": symbol}),
        "pt2, no format said": ("E206", {"p/models/model.json": symbol}),
        "pt2, no folder": ("E206", {"models/model.json": symbol, "version": b"1"}),
        "pt2 with a state dict": ("E206", exported | {"p/data.pkl": evil}),
        "TorchScript": ("E205", script),
        "TorchScript, only code": (
            "E205",
            {"s/data.pkl": b"\x80\x02}.", "s/code/__torch__.py": b"def forward(): pass"},
        ),
        "TorchScript, only constants": ("E205", {"s/constants.pkl": evil}),
        "torch.package": (
            "E203",
            {"p/data.pkl": b"\x80\x02}.", "p/.data/extern_modules": b"os", "p/a.py": b"import os"},
        ),
    }
    found = [
        Case(KIND, name, "evil.pt", lambda entries=entries: zipped(entries), code)
        for name, (code, entries) in made.items()
    ]
    found += [
        Case(KIND, f"{name}, named as a model", "evil.onnx", lambda start=start: start, "E201|E316")
        for name, start in STARTS.items()
    ]
    found.append(Case(KIND, "TorchScript of torch", "evil.pt", _script, "E205"))
    found.append(Case(KIND, "TorchScript named as ONNX", "evil.onnx", _script, "E205"))
    found.append(Case(KIND, "pt2 of torch", "evil.pt", _exported, "E206"))
    found.append(Case(KIND, "empty", "evil.pt", lambda: b"", "E602"))
    return found


def _script() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def _exported() -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), buffer)
    return buffer.getvalue()
