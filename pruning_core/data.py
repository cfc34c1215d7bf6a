"""`EvalData`: inputs with targets, how they are prepared, and the splits that keep choosing and judging apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.errors import DataError
from pruning_core.graph import ModelGraph
from pruning_core.positions import NO_TARGET
from pruning_core.preprocessing import Preprocessing
from pruning_core.vocabulary import vocabulary

__all__ = ["SPLITS", "Dataset", "EvalData", "Preprocessing", "check_examples", "check_fits"]

SPLITS = ("calibration", "validation", "test")


@dataclass(frozen=True)
class EvalData:
    """N examples: raw inputs (N, ...) as stored, targets of class numbers or None, and their preprocessing.

    Targets are (N,), or (N, positions) for a model that answers at each position; -100 stands where none counts.
    """

    name: str
    split: str
    inputs: NDArray[np.generic]
    targets: NDArray[np.int64] | None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    class_names: tuple[str, ...] = ()
    tokens: bool = False  # whether inputs are numbers of words, which a model looks up: they stay whole
    source: str = ""  # the file it was read from, so that it can be read again; a sample's name says it itself

    def __post_init__(self) -> None:
        check_examples(self.inputs, self.targets)
        if self.tokens:
            _check_tokens(self)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: slice | NDArray[np.int64]) -> Tensor:
        """Return prepared inputs (batch, ...) of the examples at `indices`: float32, or tokens as int64."""
        if self.tokens:
            return torch.from_numpy(np.ascontiguousarray(self.inputs[indices], dtype=np.int64))
        return self.preprocessing.apply(torch.from_numpy(np.ascontiguousarray(self.inputs[indices], dtype=np.float32)))

    def labels(self, indices: slice | NDArray[np.int64] = slice(None)) -> Tensor:
        """Return int64 targets (batch,) or (batch, positions)."""
        if self.targets is None:
            raise DataError(f"data '{self.name}' has no targets")
        return torch.from_numpy(self.targets[indices].astype(np.int64))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield prepared inputs and targets in order."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.batch(part), None if self.targets is None else self.labels(part)

    def take(self, n: int | None, seed: int = 0) -> "EvalData":
        """Return `n` examples chosen without order by `seed`; all of them when `n` is None or not smaller."""
        if n is None or n >= len(self):
            return self
        if n < 1:
            raise DataError(f"{n} samples asked for; at least 1 is needed")
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return replace(self, inputs=self.inputs[chosen], targets=None if self.targets is None else self.targets[chosen])

    def with_next_tokens(self) -> "EvalData":
        """Return the same sequences (N, positions) with the token after each position as its target."""
        if not self.tokens or self.inputs.ndim != 2 or self.inputs.shape[1] < 2:
            raise DataError(f"data '{self.name}' holds no sequences of tokens, so no token comes next")
        last = np.full((len(self), 1), NO_TARGET, np.int64)
        return replace(self, targets=np.concatenate([self.inputs[:, 1:].astype(np.int64), last], 1))

    @cached_property
    def sha256(self) -> str:
        """Hash of inputs, targets and preprocessing: two equal hashes give equal numbers."""
        digest = sha256(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(b"" if self.targets is None else self.targets.tobytes())
        digest.update(repr((self.inputs.shape, str(self.inputs.dtype), self.preprocessing)).encode())
        digest.update(b"tokens" if self.tokens else b"")
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """The splits of one data set: calibration collects statistics, validation chooses, test judges once."""

    name: str
    title: str
    splits: Mapping[str, EvalData]

    def split(self, name: str) -> EvalData:
        """Return one split; a set that has no such split answers with its only one, whatever its name."""
        if name not in SPLITS and name not in {data.split for data in self.splits.values()}:
            raise DataError(f"unknown split '{name}'; known: {', '.join(SPLITS)}")
        return self.splits[name] if name in self.splits else next(iter(self.splits.values()))

    @property
    def calibration(self) -> EvalData:
        """Examples that statistics are collected on."""
        return self.split("calibration")

    @property
    def validation(self) -> EvalData:
        """Examples that choices are made on."""
        return self.split("validation")

    @property
    def test(self) -> EvalData:
        """Examples that the final figure is measured on."""
        return self.split("test")

    def with_preprocessing(self, preprocessing: Preprocessing) -> "Dataset":
        """Return the same examples prepared differently."""
        return self._with(preprocessing=preprocessing)

    def without_channel(self) -> "Dataset":
        """Return the same examples without their first dimension, which must have one entry."""
        return replace(self, splits={n: replace(data, inputs=data.inputs[:, 0]) for n, data in self.splits.items()})

    def as_tokens(self) -> "Dataset":
        """Return the same examples as numbers of words, which stay whole."""
        return self._with(tokens=True)

    def with_next_tokens(self) -> "Dataset":
        """Return the same sequences with the token after each position as its target."""
        return replace(self, splits={name: data.with_next_tokens() for name, data in self.splits.items()})

    def _with(self, **changes: Any) -> "Dataset":
        return replace(self, splits={name: replace(data, **changes) for name, data in self.splits.items()})


def check_examples(inputs: NDArray[np.generic], targets: NDArray[np.int64] | None) -> None:
    """Refuse by name: no examples, NaN, targets of another length, shape or kind."""
    if inputs.ndim < 1 or len(inputs) == 0:
        raise DataError("the data has no examples")
    if inputs.dtype.kind not in "uif":
        raise DataError(f"the inputs are {inputs.dtype}; numbers are needed")
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        raise DataError("the inputs hold NaN or infinite values; finite numbers are needed")
    if targets is None:
        return
    by_position = targets.ndim == 2 and targets.shape[1] > 1 and targets.dtype.kind in "ui"
    if targets.ndim != 1 and not by_position:
        raise DataError(_shape_needed(targets, (len(inputs),)))
    if len(targets) != len(inputs):
        raise DataError(f"{len(inputs)} inputs but {len(targets)} targets")
    if targets.dtype.kind not in "ui":
        raise DataError(f"targets are {targets.dtype}; whole class numbers are needed")
    if by_position and len(empty := np.flatnonzero((targets == NO_TARGET).all(1))):
        raise DataError(f"example {empty[0]} has no target at any position; leave it out")


def _shape_needed(targets: NDArray[np.int64], wanted: tuple[int, ...]) -> str:
    each = "each" if len(wanted) == 1 else "for each position"
    return f"targets have shape {targets.shape}; one class number {each} is needed, {wanted}"


def _check_tokens(data: EvalData) -> None:
    if data.inputs.dtype.kind not in "ui":
        raise DataError(f"data '{data.name}' holds {data.inputs.dtype}; tokens are whole numbers")
    if data.inputs.min() < 0:
        raise DataError(f"data '{data.name}': token {data.inputs.min()} is below 0")
    if data.preprocessing != Preprocessing():
        raise DataError(f"data '{data.name}' holds tokens, which are read as they are; leave scale, mean and std out")


def check_fits(data: EvalData, graph: ModelGraph) -> None:
    """Refuse data whose examples or labels do not fit a model that gives class scores."""
    if len(graph.output_shape) < 1:
        raise DataError("the model gives one number for each example; class scores (batch, classes) are needed")
    _check_inputs(data, graph)
    if data.targets is None:
        return
    if len(graph.output_shape) > 2:
        raise DataError(
            f"the model gives {graph.output_shape} for each example; class scores (batch, classes) are needed, or "
            "(batch, positions, classes)"
        )
    *positions, n_classes = graph.output_shape
    if data.targets.shape[1:] != tuple(positions):
        raise DataError(_shape_needed(data.targets, (len(data), *positions)))
    wrong = (data.targets < 0) | (data.targets >= n_classes)
    places = np.argwhere(wrong & (data.targets != NO_TARGET) if positions else wrong)
    if len(places):
        where = tuple(places[0].tolist())
        raise DataError(
            f"data '{data.name}': target {data.targets[where]} of example {where[0]} is outside 0 to {n_classes - 1}"
        )


def _check_inputs(data: EvalData, graph: ModelGraph) -> None:
    shape, wanted = graph.input_shapes[0], str(graph.input_types[0]).removeprefix("torch.")
    if tuple(data.inputs.shape[1:]) != shape:
        raise DataError(
            f"data '{data.name}' has examples of shape {tuple(data.inputs.shape[1:])}; the model takes {shape}"
        )
    if wanted not in ("float32", "int64"):
        raise DataError(f"the model reads {wanted}; data are prepared as float32, or as int64 where they are tokens")
    if wanted == "int64" and not data.tokens:
        kind = data.inputs.dtype
        remedy = "say so with tokens=True" if kind.kind in "ui" else f"these are {kind}"
        raise DataError(f"data '{data.name}': the model reads tokens, which are whole numbers; {remedy}")
    if wanted == "float32" and data.tokens:
        raise DataError(f"data '{data.name}' holds tokens, but the model reads float32; leave tokens=True out")
    n_tokens = vocabulary(graph.layers)
    if n_tokens is not None and data.preprocessing == Preprocessing():
        least, largest = data.inputs.min(), data.inputs.max()
        if least < 0 or largest >= n_tokens:
            wrong = least if least < 0 else largest
            raise DataError(f"data '{data.name}': token {wrong:g} is outside 0 to {n_tokens - 1}")
