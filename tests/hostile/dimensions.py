"""Shapes that do not fit their bytes: more numbers than the file, the memory or the word has."""

import io
from pathlib import Path

import torch
from onnx import TensorProto, helper
from torch import Tensor

from tests.hostile.case import LENET, Case, array_header, npy, onnx, relu, tensor, zipped

KIND = "dimensions"


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    weights = {
        "10^12 numbers, no bytes": tensor("w", [10**6, 10**6]),
        "overflow of 64 bits": tensor("w", [2**32, 2**32]),
        "overflow to 0": tensor("w", [2**40, 2**24], b""),
        "below 0": tensor("w", [-1, 4], bytes(16)),
        "two below 0": tensor("w", [-2, -2], bytes(16)),
        "beyond 2^40": tensor("w", [2**62, 0]),
        "65 dimensions": tensor("w", [1] * 65, bytes(4)),
        "a byte too few": tensor("w", [4], bytes(15)),
        "a byte too many": tensor("w", [4], bytes(17)),
        "no bytes": tensor("w", [4]),
        "unknown type": tensor("w", [4], bytes(16), 99),
        "no type": tensor("w", [4], bytes(16), 0),
        "half bytes": tensor("w", [5], bytes(2), TensorProto.INT4),
        "floats too few": TensorProto(name="w", dims=[9], data_type=1, float_data=[1.0] * 8),
        "doubles as floats": TensorProto(name="w", dims=[2], data_type=1, double_data=[1.0, 2.0]),
        "raw and floats": TensorProto(name="w", dims=[1], data_type=1, float_data=[1.0], raw_data=bytes(4)),
        "whole numbers too few": TensorProto(name="w", dims=[10**9], data_type=7, int64_data=[1]),
        "whole numbers too many": TensorProto(name="w", dims=[1], data_type=7, int64_data=[2**62] * 99),
        "texts too few": TensorProto(name="w", dims=[9], data_type=8, string_data=[b"a"]),
    }
    found = [
        Case(KIND, f"ONNX: {name}", "evil.onnx", lambda weight=weight: onnx([relu()], [weight]), "E211")
        for name, weight in weights.items()
    ]
    constant = helper.make_node("Constant", [], ["c"], value=tensor("w", [10**12]))
    found.append(Case(KIND, "ONNX: in a Constant", "evil.onnx", lambda: onnx([constant, relu()]), "E211"))
    found.append(Case(KIND, "ONNX: input below 0", "evil.onnx", lambda: onnx([relu()], sizes=(1, -5)), "E211"))
    arrays = {
        "10^12 numbers": ("E317", npy(array_header("(1000000, 1000000)"), bytes(64))),
        "overflow of 64 bits": ("E317", npy(array_header("(4294967296, 4294967296)"), bytes(64))),
        "a byte too few": ("E317", npy(array_header("(4,)"), bytes(15))),
        "a byte too many": ("E317", npy(array_header("(4,)"), bytes(17))),
        "below 0": ("E305", npy(array_header("(-4,)"), bytes(16))),
        "100 dimensions": ("E305", npy(array_header("(" + "1, " * 100 + ")"), bytes(4))),
        "item of 10^6 bytes": ("E317", npy(array_header("(4,)", "<U999999"), bytes(16))),
        "header beyond the end": ("E317", npy(array_header("(4,)"))[:20]),
        "header of 4 GB": ("E317", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(64)),
    }
    for name, (code, content) in arrays.items():
        found.append(Case(KIND, f"npy: {name}", "evil.npy", lambda content=content: content, code))
        found.append(Case(KIND, f"npz: {name}", "evil.npz", lambda content=content: zipped({"x.npy": content}), code))
    tensors = {
        "step of 0": torch.zeros(1).expand(10**12),
        "step of 0, two ways": torch.zeros(1, 1).expand(10**6, 10**6),
        "overlapping steps": torch.zeros(100).as_strided((90, 90), (1, 0)),
        "no numbers at all": torch.empty(10**12, device="meta"),
        "sparse": torch.sparse_coo_tensor([[0]], [1.0], (10**6,), check_invariants=True),
    }
    for name, value in tensors.items():
        make = lambda value=value: _saved({"fc1.weight": value})  # noqa: E731
        found.append(Case(KIND, f"torch: {name}", "evil.pt", make, "E211|E207|E203", LENET))
    found.append(Case(KIND, "torch: storage cut off", "evil.pt", _cut, "E202", LENET))
    return found


def _saved(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _cut() -> bytes:
    """Return a torch file whose storage has fewer bytes than its tensor."""
    import zipfile

    whole = zipfile.ZipFile(io.BytesIO(_saved({"fc1.weight": torch.zeros(64)})))
    entries = {entry: whole.read(entry) for entry in whole.namelist()}
    return zipped({name: content[:16] if "/data/" in name else content for name, content in entries.items()})
