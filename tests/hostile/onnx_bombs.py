"""ONNX files of a few bytes that would take hours, gigabytes, or the stack."""

from pathlib import Path

import numpy as np
from onnx import FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from tests.hostile.case import Case, graph, model, onnx, relu, shape, tensor

KIND = "ONNX bombs"
HUGE = [100_000, 100_000]


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    node, constant = helper.make_node, _constant
    made = {
        "functions, 4 calls in 16 levels": ("E225", lambda: _functions(4, 16)),
        "functions, 2 calls in 40 levels": ("E225", lambda: _functions(2, 40)),
        "functions, 300 calls in 3 levels": ("E225", lambda: _functions(300, 3)),
        "functions, 100 levels": ("E225", lambda: _functions(1, 100)),
        "a function that calls itself": ("E225", lambda: _cycle(1)),
        "two functions that call each other": ("E225", lambda: _cycle(2)),
        "nine functions in a circle": ("E225", lambda: _cycle(9)),
        "one function twice": ("E227", lambda: _defined([_function("f0", [relu()]), _function("f0", [relu()])])),
        "a function of another domain": ("E224", lambda: onnx([node("f", ["x"], ["y"], domain="com.evil")])),
        "50,001 nodes": ("E610", lambda: onnx(_chain(50_001))),
        "a tensor by ConstantOfShape": (
            "E228",
            lambda: onnx([node("ConstantOfShape", ["s"], ["y"])], [shape("s", HUGE)]),
        ),
        "400 GB by ConstantOfShape": (
            "E228",
            lambda: onnx([constant("s", [10**11]), node("ConstantOfShape", ["s"], ["y"])]),
        ),
        "ConstantOfShape in a function": ("E228", lambda: _inside_function()),
        "ConstantOfShape in a branch": ("E228", lambda: _inside_branch()),
        "a tensor by Expand": ("E228", lambda: onnx([node("Expand", ["x", "s"], ["y"])], [shape("s", HUGE)])),
        "a tensor by Tile": ("E228", lambda: onnx([node("Tile", ["x", "s"], ["y"])], [shape("s", [1, 10**10])])),
        "a tensor by Range": ("E228", lambda: onnx([node("Range", ["a", "b", "c"], ["y"])], _bounds(0, 10**12, 1))),
        "a tensor by Range, backwards": (
            "E228",
            lambda: onnx([node("Range", ["a", "b", "c"], ["y"])], _bounds(10**12, 0, -1)),
        ),
        "a tensor by RandomNormal": ("E228", lambda: onnx([node("RandomNormal", [], ["y"], shape=HUGE)])),
        "a tensor by RandomUniform": ("E228", lambda: onnx([node("RandomUniform", [], ["y"], shape=HUGE)])),
        "a tensor by Resize": ("E228", lambda: onnx([node("Resize", ["x", "", "", "s"], ["y"])], [shape("s", HUGE)])),
        "a tensor by OneHot": ("E228", lambda: onnx([node("OneHot", ["x", "s", "x"], ["y"])], [_scalar("s", 10**12)])),
        "a tensor by Pad": ("E228", lambda: onnx([node("Pad", ["x", "s"], ["y"])], [shape("s", [0, 0, 0, 10**12])])),
        "branches nested 9 deep": ("E611", lambda: onnx([_nested(9)])),
        "branches nested 60 deep": ("E611", lambda: _deep(60)),
        "branches nested 5,000 deep": ("E611", lambda: _deep(5_000)),
        "an input of 10^12 numbers": ("E612", lambda: onnx([relu()], sizes=(1, 10**6, 10**6))),
        "an input of 10^18 numbers": ("E612|E211", lambda: onnx([relu()], sizes=(10**9, 10**9))),
        "weights of 2 GB in 100 bytes": ("E211", lambda: onnx([relu()], [tensor("w", [500_000_000])])),
        "sparse weights": ("E223", _sparse),
        "sparse weights in a Constant": ("E223", _sparse_constant),
        "graphs for training": ("E226", _training),
        "two graphs": ("E220", lambda: onnx([relu()]) + onnx([relu()])),
        "no graph": ("E220", lambda: b"\x08\x0a"),
        "version 0": ("E220", lambda: b"\x08\x00" + onnx([relu()])),
    }
    return [Case(KIND, name, "evil.onnx", make, code) for name, (code, make) in made.items()]


def _function(name: str, nodes: list[NodeProto]) -> FunctionProto:
    return helper.make_function("evil", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 18)])


def _calls(target: str, times: int) -> list[NodeProto]:
    names = ["x", *(f"t{i}" for i in range(times - 1)), "y"]
    return [helper.make_node(target, [names[i]], [names[i + 1]], domain="evil") for i in range(times)]


def _functions(times: int, levels: int) -> bytes:
    """Return `levels` functions, each of which calls the next `times` times."""
    last = _function(f"f{levels}", [relu()])
    return _defined([*(_function(f"f{i}", _calls(f"f{i + 1}", times)) for i in range(levels)), last])


def _cycle(length: int) -> bytes:
    return _defined([_function(f"f{i}", _calls(f"f{(i + 1) % length}", 1)) for i in range(length)])


def _defined(functions: list[FunctionProto]) -> bytes:
    return onnx(_calls("f0", 1), functions=functions)


def _chain(count: int) -> list[NodeProto]:
    return [relu(f"t{i}" if i else "x", f"t{i + 1}" if i < count - 1 else "y") for i in range(count)]


def _constant(name: str, sizes: list[int]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=sizes)


def _scalar(name: str, value: int) -> TensorProto:
    return numpy_helper.from_array(np.array(value), name)


def _bounds(*values: int) -> list[TensorProto]:
    return [_scalar(name, value) for name, value in zip("abc", values, strict=True)]


def _inside_function() -> bytes:
    return _defined([_function("f0", [_constant("s", HUGE), helper.make_node("ConstantOfShape", ["s"], ["y"])])])


def _branches(nodes: list[NodeProto], **more: object) -> NodeProto:
    inner = graph(nodes)
    inner.ClearField("input")
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner, **more)


def _inside_branch() -> bytes:
    return onnx([_branches([_constant("s", HUGE), helper.make_node("ConstantOfShape", ["s"], ["y"])])])


def _nested(depth: int) -> NodeProto:
    node = relu()
    for _ in range(depth):
        inner = helper.make_graph([node], "g", [], [])
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner)
    return node


def _deep(depth: int) -> bytes:
    """Return graphs so deep that the protobuf library itself could not write them."""
    content = b"\x0a\x00"
    for _ in range(depth):
        attribute = b"\x32" + _length(content) + content  # AttributeProto.g
        node = b"\x2a" + _length(attribute) + attribute  # NodeProto.attribute
        content = b"\x0a" + _length(node) + node  # GraphProto.node
    return b"\x08\x0a\x3a" + _length(content) + content


def _length(content: bytes) -> bytes:
    size, found = len(content), bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])


def _sparse() -> bytes:
    content = model(graph([relu()]))
    content.graph.sparse_initializer.add().dims.append(10**12)
    return content.SerializeToString()


def _sparse_constant() -> bytes:
    node = helper.make_node("Constant", [], ["c"])
    attribute = node.attribute.add(name="sparse_value", type=11)
    attribute.sparse_tensor.dims.append(10**12)
    return onnx([node, relu()])


def _training() -> bytes:
    content = model(graph([relu()]))
    content.training_info.add()
    return content.SerializeToString()
