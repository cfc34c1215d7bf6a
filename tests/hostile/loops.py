"""ONNX operators that may run for ever, wherever they hide."""

from pathlib import Path

from onnx import NodeProto, helper

from tests.hostile.case import Case, graph, onnx, relu

KIND = "ONNX loops"


def cases(marker: Path) -> list[Case]:
    """Return the hostile files of this class."""
    made = {
        "Loop without end": lambda: onnx([_loop("Loop")]),
        "Loop, domain said": lambda: onnx([_loop("Loop", domain="ai.onnx")]),
        "Scan": lambda: onnx([_loop("Scan", num_scan_inputs=1)]),
        "SequenceMap": lambda: onnx([_loop("SequenceMap")]),
        "Loop in a branch": lambda: onnx([_branch([_loop("Loop")])]),
        "Loop in three branches": lambda: onnx([_branch([_branch([_branch([_loop("Loop")])])])]),
        "Loop in a Loop": lambda: onnx([_loop("Loop", [_loop("Loop")])]),
        "Loop in a function": lambda: onnx(
            [helper.make_node("f", ["x"], ["y"], domain="evil")], functions=[_function()]
        ),
        "Loop in a function that is not called": lambda: onnx([relu()], functions=[_function()]),
        "Loop after a thousand nodes": lambda: onnx([*_chain(1000), _loop("Loop")]),
        "Scan in a default of a function": lambda: onnx([relu()], functions=[_with_default()]),
    }
    return [Case(KIND, name, "evil.onnx", make, "E221") for name, make in made.items()]


def _loop(operator: str, nodes: list[NodeProto] | None = None, **more: object) -> NodeProto:
    body = graph(nodes or [relu()])
    return helper.make_node(operator, ["x", "", "x"], ["y"], body=body, **more)


def _branch(nodes: list[NodeProto]) -> NodeProto:
    inner = graph(nodes)
    inner.ClearField("input")
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=graph([relu()]))


def _function() -> object:
    return helper.make_function("evil", "f", ["x"], ["y"], [_loop("Loop")], [helper.make_opsetid("", 18)])


def _with_default() -> object:
    function = helper.make_function("evil", "f", ["x"], ["y"], [relu()], [helper.make_opsetid("", 18)])
    function.attribute_proto.append(helper.make_attribute("body", graph([_loop("Scan")])))
    return function


def _chain(count: int) -> list[NodeProto]:
    return [relu("x", f"t{i}") for i in range(count)]
