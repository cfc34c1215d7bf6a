"""ONNX operators that make a large tensor of a few bytes: a shape that is constant is multiplied out."""

from collections.abc import Mapping
from typing import NamedTuple

from pruning_core.guard.limits import Limits

SHAPED_BY = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Resize": 3, "Upsample": 1, "OneHot": 1}  # which input
RANDOM = ("RandomNormal", "RandomUniform")  # shaped by an attribute
PADDED_BY = 1
GROWERS = frozenset({*SHAPED_BY, *RANDOM, "Range", "Pad"})


class Grower(NamedTuple):
    """A node that may make much of little."""

    op: str
    place: str
    inputs: list[bytes]
    shape: list[int]  # of its attribute


def check_growth(nodes: list[Grower], shapes: Mapping[bytes, list[int]], limits: Limits) -> None:
    """Refuse a node whose constant shape has more numbers than the limit; shapes that are computed are not known."""
    for node in nodes:
        count = _count(node, shapes)
        if count > limits.numbers:
            short = str(count) if count < 10**15 else "more than 10^15"
            what = f"{node.op} {node.place} makes a tensor of {short} numbers"
            raise limits.exceeded("E228", "numbers", what)


def _count(node: Grower, shapes: Mapping[bytes, list[int]]) -> int:
    if node.op in RANDOM:
        return _product(node.shape)
    if node.op == "Range":
        return _range([_constant(node, index, shapes) for index in range(3)])
    if node.op == "Pad":
        return sum(max(0, pad) for pad in _constant(node, PADDED_BY, shapes))
    return _product(_constant(node, SHAPED_BY[node.op], shapes)) if node.op in SHAPED_BY else 1


def _constant(node: Grower, index: int, shapes: Mapping[bytes, list[int]]) -> list[int]:
    return shapes.get(node.inputs[index], []) if index < len(node.inputs) else []


def _range(bounds: list[list[int]]) -> int:
    if not all(len(bound) == 1 for bound in bounds) or bounds[2][0] == 0:
        return 0
    (start,), (stop,), (step,) = bounds
    return max(0, (stop - start) // step)


def _product(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= abs(size)  # -1 keeps a size; others below 0 are for the checker to refuse
    return count
