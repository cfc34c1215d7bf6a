"""Gathering and scattering by index."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Known, Unsupported, Value, number, numbers, tensor

EMBEDDING = "Embedding"  # of our own: a Gather of rows of a stored table, made by weights.py
_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator(EMBEDDING, weights={0: "weight"})
def embedding(node: Node, table: Tensor, places: Tensor) -> Tensor:
    """Rows of a stored table; a negative place counts from the end."""
    return F.embedding(_from_start(places, table.shape[0]), table)


def _from_start(places: Tensor, size: Any) -> Tensor:
    return torch.where(places < 0, places + size, places)


@operator("Gather", weights={0: "weight"}, scalars=True)
def gather(node: Node, source: Value, places: Value) -> Tensor:
    """Slices along an axis by their places."""
    x: Tensor = tensor(source)
    axis = node.get("axis", 0) % x.dim()
    if isinstance(places, Known) and places.array.ndim == 0:
        return x.select(axis, number(places))
    index = tensor(places)
    if isinstance(places, Known) and index.dim() == 1 and len(index) == 1 and not places.is_symbolic:
        start = number(places)
        return x.narrow(axis, start % x.shape[axis] if isinstance(x.shape[axis], int) else start, 1)
    flat = _from_start(index.reshape(-1).to(torch.int64), x.shape[axis])
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
        raise Unsupported(f"values of type {x.dtype} are not supported")
    chosen = x.index_select(axis, flat)
    return chosen if index.dim() == 1 else chosen.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@operator("GatherElements")
def gather_elements(node: Node, x: Tensor, places: Tensor) -> Tensor:
    """One element for each place."""
    index, axis = places.to(torch.int64), node.get("axis", 0)
    return torch.gather(x, axis, _from_start(index, x.shape[axis]))


@operator("GatherND")
def gather_nd(node: Node, x: Tensor, places: Tensor) -> Tensor:
    """Slices by tuples of places; leading dimensions may be common."""
    return x[_tuples(x, places.to(torch.int64), node.get("batch_dims", 0))]


def _tuples(x: Tensor, index: Tensor, common: int) -> tuple[Tensor, ...]:
    columns = [_from_start(column, x.shape[common + i]) for i, column in enumerate(index.unbind(-1))]
    rank = index.dim() - 1
    leading = [torch.arange(index.shape[d]).reshape([-1 if i == d else 1 for i in range(rank)]) for d in range(common)]
    return tuple(leading + columns)


@operator("ScatterND")
def scatter_nd(node: Node, x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Slices replaced, added or otherwise combined at tuples of places."""
    index, how = places.to(torch.int64), node.get("reduction", "none")
    depth = index.shape[-1]
    if how in ("none", "add"):
        return x.index_put(_tuples(x, index, 0), values, accumulate=how == "add")
    sizes, strides = x.shape[:depth], [1] * depth
    for i in range(depth - 2, -1, -1):
        strides[i] = strides[i + 1] * sizes[i + 1]
    flat = sum(column * stride for column, stride in zip(_tuples(x, index, 0), strides, strict=True))
    rows, new = x.reshape(-1, *x.shape[depth:]), values.reshape(-1, *x.shape[depth:])
    where = torch.as_tensor(flat).reshape(-1, *[1] * (rows.dim() - 1)).expand(new.shape)
    return rows.scatter_reduce(0, where, new, _REDUCE[how]).reshape(x.shape)


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node, x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """One element replaced, added or otherwise combined for each place."""
    axis, how = node.get("axis", 0), node.get("reduction", "none")
    index = _from_start(places.to(torch.int64), x.shape[axis])
    if how == "none":
        return x.scatter(axis, index, values)
    return x.scatter_reduce(axis, index, values, _REDUCE[how])


@operator("TensorScatter")
def write(node: Node, x: Tensor, values: Tensor, starts: Tensor | None = None) -> Tensor:
    """A run replaced for each example, as caches of attention are filled."""
    axis = node.get("axis", -2) % x.dim()
    begin = torch.zeros(x.shape[0], dtype=torch.int64) if starts is None else starts
    places = begin.reshape(-1, 1) + torch.arange(values.shape[axis])
    if node.get("mode", "linear") == "circular":
        places = places.remainder(x.shape[axis])
    shape = [1] * x.dim()
    shape[0], shape[axis] = x.shape[0], values.shape[axis]
    return x.scatter(axis, places.reshape(shape).expand(values.shape), values)


@operator("OneHot", known=(1,))
def one_hot(node: Node, index: Tensor, depth: Value, pair: Tensor) -> Tensor:
    """A new axis that is on at one place."""
    count, axis = int(number(depth, "its depth")), node.get("axis", -1) % (index.dim() + 1)
    whole = index.to(torch.int64)
    whole = torch.where(whole < 0, whole + count, whole).unsqueeze(axis)
    shape = [1] * (index.dim() + 1)
    shape[axis] = count
    hot = whole == torch.arange(count).reshape(shape)
    return torch.where(hot, pair[1], pair[0])


@operator("Compress", known=(1,))
def compress(node: Node, x: Tensor, condition: Value) -> Tensor:
    """The slices where a known condition holds."""
    kept = torch.tensor([i for i, keep in enumerate(numbers(condition, "its condition")) if keep], dtype=torch.int64)
    return x.reshape(-1).index_select(0, kept) if "axis" not in node else x.index_select(node["axis"], kept)


@operator("NonZero", "Unique")
def data_dependent(node: Node, x: Tensor) -> Any:
    """How much comes out depends on the values; constants alone can be treated so."""
    if isinstance(x, torch._subclasses.FakeTensor):
        raise Unsupported("the shape of its result depends on the values of the input")
    if node.operator == "NonZero":
        return x.nonzero().t()
    return _unique(node, x)


def _unique(node: Node, x: Tensor) -> Any:
    found, first, inverse, counts = np.unique(
        x.numpy(), return_index=True, return_inverse=True, return_counts=True, axis=node.get("axis")
    )
    if not node.get("sorted", 1):
        order = np.argsort(first)
        back = np.argsort(order)
        found = np.take(found, order, node.get("axis", 0))
        first, inverse, counts = first[order], back[inverse], counts[order]
    arrays = [found, first, inverse.reshape(-1), counts]
    return tuple(torch.from_numpy(np.array(array)) for array in arrays)[: max(node.outputs, 1)]


@operator("ReverseSequence")
def reverse_sequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    """The first so many steps of each example turned round."""
    time, batch = node.get("time_axis", 0), node.get("batch_axis", 1)
    steps, ends = torch.arange(x.shape[time]), lengths.reshape(-1, 1)
    places = torch.where(steps < ends, ends - 1 - steps, steps)  # (batch, time)
    places = places if batch < time else places.t()
    shape = [x.shape[i] if i in (time, batch) else 1 for i in range(x.dim())]
    return torch.gather(x, time, places.reshape(shape).expand(x.shape))
