"""What a hostile file is, and the few formats that they are made of."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

LENET = "+as@lenet_300_100"


@dataclass(frozen=True)
class Case:
    """One file: its class, what it tries, its content, and how it has to be refused."""

    kind: str
    name: str
    file: str  # its name, whose ending says how it would be opened
    make: Callable[[], bytes]
    code: str  # by which it is refused; several where limits decide which comes first
    options: str = ""  # behind the file's name
    model: str | None = None  # that data are said to be for

    @property
    def codes(self) -> tuple[str, ...]:
        """By which of these it may be refused."""
        return tuple(self.code.split("|"))

    @property
    def holds(self) -> str:
        """What it is uploaded as."""
        return "model" if self.file.endswith((".onnx", ".pt", ".pth", ".safetensors", ".bin", ".ckpt")) else "data"


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_zip(pickle: bytes, storages: Mapping[str, bytes] | None = None, folder: str = "archive") -> bytes:
    """Return a file as torch.save writes it, with any pickle in it."""
    stored = {f"{folder}/data/{key}": content for key, content in (storages or {}).items()}
    head = {f"{folder}/data.pkl": pickle, f"{folder}/byteorder": b"little", f"{folder}/version": b"3\n"}
    return zipped(head | stored)


def call(module: str, name: str, *arguments: str) -> bytes:
    """Return a pickle of protocol 2 that calls `module.name(*arguments)`."""
    return b"\x80\x02" + called(module, name, *arguments) + b"."


def called(module: str, name: str, *arguments: str) -> bytes:
    """Return the opcodes of that call."""
    texts = b"".join(b"X" + struct.pack("<I", len(text.encode())) + text.encode() for text in arguments)
    return f"c{module}\n{name}\n".encode() + b"(" + texts + b"tR"


def safetensors(header: Any, numbers: bytes = b"") -> bytes:
    """Return a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def npy(header: str, numbers: bytes = b"") -> bytes:
    """Return an .npy file with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + numbers


def array_header(shape: str, kind: str = "<f4") -> str:
    """Return the header that numpy writes for an array."""
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def tensor(name: str, dims: list[int], raw: bytes = b"", kind: int = TensorProto.FLOAT) -> TensorProto:
    """Return a tensor that claims any shape."""
    return TensorProto(name=name, dims=dims, data_type=kind, raw_data=raw)


def shape(name: str, sizes: list[int]) -> TensorProto:
    """Return a tensor of whole numbers that serves as a shape."""
    return helper.make_tensor(name, TensorProto.INT64, [len(sizes)], sizes)


def graph(
    nodes: list[NodeProto], tensors: list[TensorProto] | None = None, sizes: tuple[Any, ...] = (1, 3), name: str = "g"
) -> GraphProto:
    """Return a graph from `x` to `y`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(sizes))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_graph(nodes, name, inputs, outputs, tensors or [])


def onnx(
    nodes: list[NodeProto], tensors: list[TensorProto] | None = None, *, sizes: tuple[Any, ...] = (1, 3), **more: Any
) -> bytes:
    """Return an ONNX file of these nodes and weights."""
    return model(graph(nodes, tensors, sizes), **more).SerializeToString()


def model(graph: GraphProto, opset: int = 18, **more: Any) -> ModelProto:
    """Return an ONNX model of a graph."""
    domains = {function.domain for function in more.get("functions", [])}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in sorted(domains))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **more)


def relu(inputs: str = "x", output: str = "y", **more: Any) -> NodeProto:
    """Return a node that is harmless itself."""
    return helper.make_node("Relu", [inputs], [output], **more)
