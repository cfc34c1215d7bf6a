"""How the operators that only move values are written in ONNX."""

from typing import Any

import numpy as np
from torch import fx

from pruning_core.sensitivity.evaluators.onnx_builder import Builder, Result, rank, translates
from pruning_core.sensitivity.evaluators.seam import CannotRun

Given = dict[str, Any]
END = np.iinfo(np.int64).max


@translates(*(f"aten.{name}.default" for name in "clone dropout alias detach contiguous lift_fresh_copy".split()))
def _same(b: Builder, node: fx.Node, a: Given) -> Result:
    if a.get("train"):
        raise CannotRun("a dropout that trains is not written in ONNX")
    return b.value(a.get("self", a.get("input")))


@translates(*(f"aten.{name}.default" for name in ("view", "_unsafe_view", "reshape")))
def _reshape(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Reshape", b.value(a["self"]), b.shape(a["size"] if "size" in a else a["shape"]))


@translates("aten.flatten.using_ints")
def _flatten(b: Builder, node: fx.Node, a: Given) -> Result:
    if a["start_dim"] != 1 or a["end_dim"] not in (-1, rank(a["self"]) - 1):
        raise CannotRun("a flattening of some dimensions is not written in ONNX")
    return b.op("Flatten", b.value(a["self"]), axis=1)


@translates("aten.expand.default")
def _expand(b: Builder, node: fx.Node, a: Given) -> Result:
    sizes = [1 if size == -1 else size for size in a["size"]]  # 1 keeps what is there
    return b.op("Expand", b.value(a["self"]), b.op("Concat", *[b.size(size) for size in sizes], axis=0))


@translates("aten.permute.default")
def _permute(b: Builder, node: fx.Node, a: Given) -> Result:
    n = rank(a["self"])
    return b.op("Transpose", b.value(a["self"]), perm=[dim % n for dim in a["dims"]])


@translates("aten.transpose.int")
def _transpose(b: Builder, node: fx.Node, a: Given) -> Result:
    n = rank(a["self"])
    order = list(range(n))
    first, second = a["dim0"] % n, a["dim1"] % n
    order[first], order[second] = second, first
    return b.op("Transpose", b.value(a["self"]), perm=order)


@translates("aten.t.default")
def _t(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Transpose", b.value(a["self"]))


@translates("aten.select.int")
def _select(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Gather", b.value(a["self"]), b.array(np.array(a["index"], np.int64)), axis=a["dim"])


@translates("aten.slice.Tensor")
def _slice(b: Builder, node: fx.Node, a: Given) -> Result:
    first, last = a["start"] or 0, END if a["end"] is None else a["end"]
    ends = (b.size(first), b.size(last), b.ints([a["dim"]]), b.ints([a["step"]]))
    return b.op("Slice", b.value(a["self"]), *ends)


@translates("aten.cat.default")
def _cat(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Concat", *[b.value(part) for part in a["tensors"]], axis=a["dim"])


@translates("aten.unsqueeze.default")
def _unsqueeze(b: Builder, node: fx.Node, a: Given) -> Result:
    return b.op("Unsqueeze", b.value(a["self"]), b.ints([a["dim"] % (rank(a["self"]) + 1)]))


@translates("aten.squeeze.dim", "aten.squeeze.dims")
def _squeeze(b: Builder, node: fx.Node, a: Given) -> Result:
    dims = a["dim"] if isinstance(a["dim"], (list, tuple)) else [a["dim"]]
    kept = [dim for dim in dims if a["self"].meta["val"].shape[dim] == 1]
    return b.op("Squeeze", b.value(a["self"]), b.ints(kept)) if kept else b.value(a["self"])


@translates("aten.unbind.int")
def _unbind(b: Builder, node: fx.Node, a: Given) -> Result:
    n = len(node.meta["val"])
    indices = [b.array(np.array(i, np.int64)) for i in range(n)]
    return tuple(b.op("Gather", b.value(a["self"]), index, axis=a["dim"]) for index in indices)


@translates("aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default", "aten.unsafe_split.Tensor")
def _split(b: Builder, node: fx.Node, a: Given) -> Result:
    sizes = [part.shape[a["dim"]] for part in node.meta["val"]]
    if not all(isinstance(size, int) for size in sizes):
        raise CannotRun("a split of the batch is not written in ONNX")
    return b.ops(len(sizes), "Split", b.value(a["self"]), b.ints(sizes), axis=a["dim"])


@translates("getitem")
def _getitem(b: Builder, node: fx.Node, a: Given) -> Result:
    source, index = node.args
    parts = b.results[source]  # type: ignore[index]
    if isinstance(parts, str):
        raise CannotRun(f"'{source}' is no list")
    return parts[int(index)]  # type: ignore[arg-type]
