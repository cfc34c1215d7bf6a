"""Files that would make a reader open other files: external weights, paths and links in archives."""

import stat
import zipfile
from io import BytesIO
from pathlib import Path

from onnx import NodeProto, TensorProto, helper

from tests.hostile.case import Case, graph, onnx, relu, zipped

KIND = "paths and links"
PLACES = {
    "up": "../../../../etc/passwd",
    "absolute": "/etc/passwd",
    "beside it": "other_student.onnx",
    "backslashes": "..\\..\\secret",
    "home": "~/.ssh/id_rsa",
    "address": "https://evil.example/weights",
    "share": "\\\\evil.example\\share\\w",
    "process": "/proc/self/environ",
    "memory": "*/_ORT_MEM_ADDR_/*",
    "nothing": "",
}
NAMES = {
    "up": "../evil.npy",
    "up, inside": "a/../../evil.npy",
    "absolute": "/tmp/evil.npy",
    "backslash up": "..\\evil.npy",
    "backslash absolute": "\\evil.npy",
    "drive": "C:\\evil.npy",
    "drive, relative": "C:evil.npy",
    "zero byte": "evil\0.npy",
    "only dots": "..",
}


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    found = [
        Case(
            KIND, f"weights outside: {name}", "evil.onnx", lambda place=place: onnx([relu()], [_outside(place)]), "E222"
        )
        for name, place in PLACES.items()
    ]
    found += [
        Case(KIND, f"zip entry: {name}", "evil.npz", lambda entry=entry: _named(entry), "E603|E302")
        for name, entry in NAMES.items()
    ]
    secret = _outside("/etc/passwd")
    nodes = {
        "in a Constant": onnx([helper.make_node("Constant", [], ["c"], value=secret), relu()]),
        "in a branch": onnx([_branch(secret)]),
        "in a list of tensors": onnx([_many(secret), relu()]),
        "without saying where": onnx([relu()], [TensorProto(name="w", dims=[1], data_type=1, data_location=1)]),
        "in a function": onnx([relu()], functions=[_function(secret)]),
    }
    found += [
        Case(KIND, f"weights outside, {name}", "evil.onnx", lambda content=content: content, "E222")
        for name, content in nodes.items()
    ]
    found.append(Case(KIND, "zip entry is a link", "evil.npz", _linked, "E603"))
    found.append(Case(KIND, "picture is a link", "evil.zip", lambda: _linked("cats/a.png"), "E603"))
    found.append(Case(KIND, "torch file leads up", "evil.pt", lambda: zipped({"a/data.pkl": b"", "../x": b""}), "E603"))
    return found


def _outside(place: str) -> TensorProto:
    tensor = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=place)
    return tensor


def _branch(secret: TensorProto) -> NodeProto:
    inner = graph([relu()], [secret])
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


def _many(secret: TensorProto) -> NodeProto:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="value", type=9).tensors.append(secret)
    return node


def _function(secret: TensorProto) -> object:
    nodes = [helper.make_node("Constant", [], ["y"], value=secret)]
    return helper.make_function("evil", "f", ["x"], ["y"], nodes, [helper.make_opsetid("", 18)])


def _named(name: str) -> bytes:
    """Return an archive with this entry; Python's own writer would mend the name."""
    plain = "n" * len(name)
    return zipped({plain: b"abc"}).replace(plain.encode(), name.encode())


def _linked(name: str = "x.npy") -> bytes:
    buffer = BytesIO()
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()
