"""Shapes: reshape, transpose, concatenate, split, cut; numbers and sizes have a table of their own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Known, Unsupported, Value, is_one, known, number, numbers, product


@operator("Reshape", known=(1,))
def reshape(node: Node, x: Tensor, shape: Value = None) -> Tensor:
    """A size 0 copies (unless `allowzero`), a size -1 is what remains."""
    wanted = numbers(shape, "its shape") if shape is not None else list(node["shape"])
    if not node.get("allowzero"):
        wanted = [x.shape[i] if isinstance(size, int) and size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(_plainest(wanted))


def _plainest(sizes: list[Any]) -> list[Any]:
    """Return sizes with -1 for the only one that depends on the batch: there is nothing to prove about it then."""
    symbolic = [i for i, size in enumerate(sizes) if not isinstance(size, int)]
    if len(symbolic) == 1 and -1 not in [size for size in sizes if isinstance(size, int)]:
        return [-1 if i == symbolic[0] else size for i, size in enumerate(sizes)]
    return sizes


@operator("Flatten")
def flatten(node: Node, x: Tensor) -> Tensor:
    """Two dimensions: the axes before one, and those from it on."""
    axis = node.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 1 and x.dim() > 1:
        return torch.flatten(x, 1)
    return x.reshape(product(x.shape[:axis]), product(x.shape[axis:]))


@operator("Transpose")
def transpose(node: Node, x: Tensor) -> Tensor:
    """Without `perm` the axes are reversed."""
    return x.permute(node.get("perm", list(range(x.dim()))[::-1]))


@operator("Squeeze", known=(1,))
def squeeze(node: Node, x: Tensor, axes: Value = None) -> Tensor:
    """Dimensions of size 1 go: those named, or all."""
    named = numbers(axes, "its axes") if axes is not None else node.get("axes")
    if named is None:
        named = [i for i, size in enumerate(x.shape) if is_one(size)]
    return x.squeeze(tuple(int(axis) for axis in named)) if named else x


@operator("Unsqueeze", known=(1,))
def unsqueeze(node: Node, x: Tensor, axes: Value = None) -> Tensor:
    """New dimensions of size 1, at places of the result."""
    named = numbers(axes, "its axes") if axes is not None else node["axes"]
    rank = x.dim() + len(named)
    for axis in sorted(int(axis) % rank for axis in named):
        x = x.unsqueeze(axis)
    return x


@operator("Concat")
def concat(node: Node, *pieces: Tensor) -> Tensor:
    """Pieces beside each other; one that was stored for a single example stands beside each."""
    axis = node.get("axis", 1) % pieces[0].dim()
    largest = next((p for p in pieces if not any(is_one(s) for i, s in enumerate(p.shape) if i != axis)), pieces[0])
    return torch.cat([_spread(piece, largest, axis) for piece in pieces], axis)


def _spread(piece: Tensor, largest: Tensor, axis: int) -> Tensor:
    """Repeat a piece along the dimensions where it alone has size 1."""
    sizes = [
        -1 if i == axis or not is_one(size) or is_one(largest.shape[i]) else largest.shape[i]
        for i, size in enumerate(piece.shape)
    ]
    return piece if all(is_kept(size) for size in sizes) else piece.expand(sizes)


def is_kept(size: Any) -> bool:
    """Whether a size of an expansion is the one that is there."""
    return isinstance(size, int) and size == -1


@operator("Split", known=(1,))
def split(node: Node, x: Tensor, sizes: Value = None) -> Any:
    """Pieces of given sizes, or as many equal ones as there are outputs."""
    axis = node.get("axis", 0)
    given = numbers(sizes, "its sizes") if sizes is not None else node.get("split")
    if given is not None:
        return torch.split(x, [int(size) for size in given], axis)
    count = node.get("num_outputs", node.outputs)
    return torch.split(x, -(-x.shape[axis] // count), axis)


@operator("Slice", known=(1, 2, 3, 4))
def cut(
    node: Node, x: Tensor, starts: Value = None, ends: Value = None, axes: Value = None, steps: Value = None
) -> Tensor:
    """Runs of indices; the bounds are attributes before opset 10, inputs since."""
    first = numbers(starts, "its start") if starts is not None else node["starts"]
    last = numbers(ends, "its end") if ends is not None else node["ends"]
    along = numbers(axes) if axes is not None else node.get("axes", list(range(len(first))))
    step = numbers(steps) if steps is not None else [1] * len(first)
    for start, end, axis, stride in zip(first, last, along, step, strict=True):
        x = _cut_one(x, start, end, int(axis) % x.dim(), int(stride))
    return x


def _cut_one(x: Tensor, start: Any, end: Any, axis: int, stride: int) -> Tensor:
    if stride > 0:
        return x[(slice(None),) * axis + (slice(start, end, stride),)]
    size = x.shape[axis]
    if not isinstance(size, int):
        raise Unsupported("it turns the batch round")
    places = list(range(size))[slice(start, None if end < -size else end, stride)]
    if places == list(range(size))[::-1]:
        return x.flip(axis)
    return (
        x.flip(axis)[(slice(None),) * axis + (slice(size - 1 - places[0], size - places[-1], -stride),)]
        if (places)
        else x.narrow(axis, 0, 0)
    )


@operator("Expand", known=(1,))
def expand(node: Node, x: Tensor, shape: Value) -> Tensor:
    """Broadcast both ways: a size 1 of the wanted shape leaves what is there."""
    return x.expand(broadcast(x.shape, numbers(shape, "its shape")))


def broadcast(own: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    """Return the common shape of two."""
    rank = max(len(own), len(wanted))
    left, right = [1] * (rank - len(own)) + list(own), [1] * (rank - len(wanted)) + list(wanted)
    return [size if is_one(other) else other for size, other in zip(left, right, strict=True)]


@operator("Tile", known=(1, 2))
def tile(node: Node, x: Tensor, repeats: Value, axis: Value = None) -> Tensor:
    """Repeated along each dimension."""
    if axis is not None:  # opset 1: a number of tiles along one axis
        counts = [1] * x.dim()
        counts[number(axis)] = number(repeats)
        return x.repeat(counts)
    return x.repeat(numbers(repeats, "its number of repeats"))


@operator("Shape")
def shape_of(node: Node, x: Tensor) -> Known:
    """The sizes, symbolic where they depend on the batch."""
    return known(list(x.shape)[node.get("start", 0) : node.get("end")])


@operator("Size")
def size_of(node: Node, x: Tensor) -> Known:
    """The number of elements."""
    return known(product(x.shape))


@operator("DepthToSpace")
def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """Channels become pixels; in mode DCR the channels of one pixel stand apart."""
    block = node["blocksize"]
    if node.get("mode", "DCR") == "CRD":
        return torch.pixel_shuffle(x, block)
    n, channels, height, width = x.shape
    x = x.reshape(n, block, block, channels // (block * block), height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, channels // (block * block), height * block, width * block)


@operator("SpaceToDepth")
def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """Pixels become channels, those of one position together."""
    block = node["blocksize"]
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // block, block, width // block, block)
    x = x.permute(0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else x.permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, channels * block * block, height // block, width // block)
