"""The files that mutations start from: small ones of every kind, good and hostile."""

import io
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

import sample_models
from tests.hostile import cases
from tests.hostile.case import onnx, zipped
from tests.hostile.pictures import jpeg, png

SMALL = 3000  # bytes


def seeds() -> list[bytes]:
    """Return good files of each kind, several times, and the small ones of the hostile files."""
    hostile = [case.make() for case in cases(Path("/nonexistent/marker")) if case.name not in _SLOW]
    return [*(good() * 10), *(content for content in hostile if len(content) <= SMALL)]


def by_kind() -> dict[str, list[bytes]]:
    """Return small files by kind that can be opened, so that mutations reach what reads them."""
    state = sample_models.load("lenet_300_100").state_dict()
    values = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
    return {
        "onnx": [*_networks()[:1], _convolutions()],
        "safetensors": [save({name: value.numpy() for name, value in state.items()})],
        "state_dict": [_saved(state, True), _saved({"model": state, "epoch": 3}, False)],
        "npy": [_arrays(np.save, values)],
        "npz": [_arrays(np.savez, x=values, y=np.arange(3)), _arrays(np.savez_compressed, x=values, y=np.arange(3))],
        "images": [zipped({"cats/a.png": _picture("PNG"), "dogs/b.jpg": _picture("JPEG")})],
        "table": [b"a,b,y\n" + b"1,2.5,0\n3,4,1\n" * 3],
    }


def _convolutions() -> bytes:
    """Return a network of two convolutions, a normalisation and a classifier."""
    random = np.random.default_rng(0)
    shapes = {
        "w": (4, 1, 3, 3),
        "v": (8, 4, 3, 3),
        "c": (3, 8),
        "scale": (4,),
        "shift": (4,),
        "mean": (4,),
        "var": (4,),
    }
    made = {
        name: random.normal(size=size).astype(np.float32) ** (2 if name == "var" else 1)
        for name, size in shapes.items()
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"]),
        node("Relu", ["b"], ["r"]),
        node("Conv", ["r", "v"], ["d"], name="conv2", strides=[2, 2]),
        node("GlobalAveragePool", ["d"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "c"], ["y"], name="fc", transB=1),
    ]
    return onnx(nodes, [numpy_helper.from_array(value, name) for name, value in made.items()], sizes=(1, 1, 8, 8))


def _picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, form)
    return buffer.getvalue()


_SLOW = ("25,000 files", "zeros of 80 MB", "many of 60 MB", "300,000 names", "300,000 tensors", "50,001 nodes")


def good() -> list[bytes]:
    """Return small files without a fault, one or more of each kind."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    return [
        *_networks(),
        save({"fc.weight": values, "fc.bias": values[:, 0].copy()}),
        _saved({"fc.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)}, True),
        _saved({"fc.weight": torch.zeros(2, 3)}, False),
        _arrays(np.save, values),
        _arrays(np.savez, x=values, y=np.arange(3)),
        _arrays(np.savez_compressed, x=values, y=np.arange(3)),
        zipped({"cats/a.png": png(4, 4), "dogs/b.jpg": jpeg(4, 4)}),
        b"a,b,y\n" + b"1,2.5,0\n3,4,1\n" * 3,
        b"some text, and more\n" * 3,
    ]


def _networks() -> list[bytes]:
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    floats = helper.make_tensor("v", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [1, -1])
    node = helper.make_node
    nodes = [
        node("Gemm", ["x", "w"], ["h"], name="fc1"),
        node("Gemm", ["h", "v"], ["z"], name="fc2", alpha=0.5),
        node("Reshape", ["z", "s"], ["y"]),
    ]
    function = helper.make_function(
        "mine", "f", ["x"], ["y"], [node("Relu", ["x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    branch = helper.make_graph([node("Relu", ["x"], ["b"])], "b", [], [])
    return [
        onnx(nodes, [weight, floats, shape]),
        onnx([node("f", ["x"], ["y"], domain="mine")], functions=[function]),
        onnx([node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)]),
        onnx([node("Constant", [], ["c"], value=shape), node("ConstantOfShape", ["c"], ["y"])]),
    ]


def _saved(state: dict[str, torch.Tensor], as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


def _arrays(write: object, *arrays: object, **named: object) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arrays, **named)  # type: ignore[operator]
    return buffer.getvalue()
