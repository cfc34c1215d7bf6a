"""The inputs of an ONNX graph: their shapes, what the file leaves open, and generated examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor

from pruning_core.onnx_import.types import dtype_of
from pruning_core.onnx_import.values import Unsupported
from pruning_core.refusals import refused

FEWEST_TOKENS = 2  # whole numbers below this are taken where no table says how many there are
_PASS_ON = frozenset("Cast Identity Reshape Unsqueeze Squeeze Flatten Transpose Where Add Clip Slice".split())


@dataclass(frozen=True)
class Entry:
    """One input of the graph."""

    name: str
    dtype: torch.dtype
    batch: int | None  # as the file fixes it; None where it is open
    shape: tuple[int, ...]  # without the batch
    below: int  # whole numbers of generated examples are smaller than this

    def example(self, count: int, seed: int = 0) -> Tensor:
        """Return `count` generated examples: normal noise, or whole numbers as int64."""
        generator = torch.Generator().manual_seed(seed)
        shape = (count, *self.shape)
        if self.dtype.is_floating_point:
            return torch.randn(shape, generator=generator).to(self.dtype)
        if self.dtype == torch.bool:
            return torch.ones(shape, dtype=torch.bool)
        return torch.randint(0, self.below, shape, generator=generator)


def entries_of(proto: onnx.ModelProto, asked: str = "") -> list[Entry]:
    """Return the inputs of a graph; `asked` gives their shapes without the batch, as `3x224x224` or `3x8x8,5`."""
    constants = {initializer.name for initializer in proto.graph.initializer}
    inputs = [entry for entry in proto.graph.input if entry.name not in constants]
    if not inputs:
        raise refused("E232", "the ONNX graph has no input")
    given = [_shape(part, asked) for part in asked.split(",")] if asked else None
    if given is not None and len(given) != len(inputs):
        names = ", ".join(entry.name for entry in inputs)
        raise refused(
            "E233",
            f"+input@{asked} gives {len(given)} shapes, the model has {len(inputs)} inputs ({names}) "
            "that take one each, as in +input@3x8x8,5",
        )
    return [_entry(proto.graph, entry, given[i] if given else None, len(inputs)) for i, entry in enumerate(inputs)]


def _shape(part: str, asked: str) -> tuple[int, ...]:
    sizes = [size for size in part.strip().lower().split("x") if size]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise refused("E233", f"+input@{asked} is no shape; whole numbers stand with x between them")
    return tuple(int(size) for size in sizes)


def _entry(graph: onnx.GraphProto, entry: onnx.ValueInfoProto, given: tuple[int, ...] | None, count: int) -> Entry:
    kind = entry.type.tensor_type
    try:
        dtype = dtype_of(kind.elem_type)
    except Unsupported as error:
        raise refused("E232", f"the input '{entry.name}' cannot be given: {error}") from None
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    known = kind.HasField("shape")
    if known and not sizes:
        raise refused("E233", f"the input '{entry.name}' is one number without a batch")
    own = "x".join("?" if size is None else str(size) for size in sizes[1:]) if known else "unknown"
    if given is None and (not known or None in sizes[1:]):
        example = "+input@3x224x224" if count == 1 else "+input@3x8x8,5"
        raise refused(
            "E233",
            f"the shape of input '{entry.name}' is open in the file ({own}, without the batch); "
            f"say it behind the name, as in {example}",
        )
    if given is not None and known and not _fits(sizes[1:], given):
        asked = "x".join(map(str, given))
        raise refused("E233", f"the input '{entry.name}' has the shape {own} without the batch, not {asked}")
    shape = tuple(size for size in sizes[1:] if size is not None) if given is None else given
    return Entry(entry.name, dtype, sizes[0] if known else None, shape, _below(graph, entry.name))


def _fits(sizes: Sequence[int | None], given: Sequence[int]) -> bool:
    return len(sizes) == len(given) and all(a in (None, b) for a, b in zip(sizes, given, strict=True))


def _below(graph: onnx.GraphProto, name: str) -> int:
    """Return how many rows the smallest table has that an input chooses from."""
    rows = {initializer.name: initializer.dims[0] for initializer in graph.initializer if len(initializer.dims) > 1}
    names, found = {name}, list[int]()
    for node in graph.node:
        if node.op_type == "Gather" and len(node.input) > 1 and node.input[1] in names and node.input[0] in rows:
            found.append(rows[node.input[0]])
        if node.op_type in _PASS_ON and names.intersection(node.input):
            names.update(node.output)
    return max(1, min(found, default=FEWEST_TOKENS))


def fixed_batch(entries: Sequence[Entry]) -> int | None:
    """Return the batch that the file fixes, None where it is open."""
    sizes = {entry.batch for entry in entries}
    fixed = sizes - {None}
    if len(fixed) > 1:
        found = ", ".join(f"{entry.name}: {entry.batch}" for entry in entries)
        raise refused(
            "E232", f"the first dimensions of the inputs differ ({found}), but a batch is first in every input"
        )
    return next(iter(fixed)) if fixed else None
