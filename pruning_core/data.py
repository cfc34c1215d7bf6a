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
from pruning_core.fits import check_examples, check_fits, check_inputs, parts
from pruning_core.positions import NO_TARGET
from pruning_core.preprocessing import Preprocessing

__all__ = ["SPLITS", "Dataset", "EvalData", "Inputs", "Preprocessing", "check_examples", "check_fits"]

SPLITS = ("calibration", "validation", "test")
FALLBACK = ("validation", "test")  # what stands for a split that is not there
Inputs = tuple[Tensor, ...]  # one for each input of a model, each (batch, ...)


@dataclass(frozen=True)
class EvalData:
    """N examples: raw inputs (N, ...) as stored, targets or None, and their preprocessing.

    Targets are class numbers (N,), or (N, positions) for a model that answers at each position, -100 where none counts;
    or floats (N,) or (N, outputs) that a regression predicts.
    """

    name: str
    split: str
    inputs: NDArray[np.generic]
    targets: NDArray[Any] | None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)  # of `inputs`, and of others of their shape
    class_names: tuple[str, ...] = ()
    tokens: bool = False  # whether inputs are numbers of words, which a model looks up: they stay whole
    source: str = ""  # the file it was read from, so that it can be read again; a sample's name says it itself
    more: tuple[NDArray[np.generic], ...] = ()  # (N, ...) each: what a model of several inputs reads besides
    types: tuple[torch.dtype, ...] = ()  # what each input is read as, where a model said so
    regression: bool = False  # outputs are numbers, though there are no targets that show it

    def __post_init__(self) -> None:
        check_examples(self.inputs, self.targets)
        for place, array in enumerate(self.more, start=1):
            check_inputs(array)
            if len(array) != len(self):
                raise DataError(f"data '{self.name}': {len(self)} examples, but {len(array)} of input {place}")
        if self.tokens:
            _check_tokens(self)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """The stored array of each input."""
        return self.inputs, *self.more

    @property
    def read_as(self) -> tuple[torch.dtype, ...]:
        """The type in which each input is given to a model; without its word floats, and other whole inputs whole."""
        if self.types:
            return self.types
        kinds = (torch.float32 if array.dtype.kind == "f" else torch.int64 for array in self.more)
        return torch.int64 if self.tokens else torch.float32, *kinds

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each prepared input, without the batch."""
        return tuple(
            self.preprocessing.shape(array.shape[1:]) if self._is_prepared(place) else array.shape[1:]
            for place, array in enumerate(self.arrays)
        )

    def _is_prepared(self, place: int) -> bool:
        """Whether the preprocessing is meant for this input: the first, and others of its shape and kind."""
        whole = not self.read_as[place].is_floating_point
        return not whole and self.arrays[place].shape[1:] == self.inputs.shape[1:]

    def prepared(self, indices: slice | NDArray[np.int64]) -> Inputs:
        """Return what a model reads of the examples at `indices`, each (batch, ...)."""
        return tuple(self._prepared(place, indices) for place in range(len(self.arrays)))

    def _prepared(self, place: int, indices: slice | NDArray[np.int64]) -> Tensor:
        kind = self.read_as[place]
        whole = np.int64 if not kind.is_floating_point else np.float32
        values = torch.from_numpy(np.ascontiguousarray(self.arrays[place][indices], dtype=whole))
        return (self.preprocessing.apply(values) if self._is_prepared(place) else values).to(kind)

    def batch(self, indices: slice | NDArray[np.int64]) -> Tensor:
        """Return the one input (batch, ...) of the examples at `indices`: float32, or tokens as int64."""
        if self.more:
            raise DataError(f"data '{self.name}' has {len(self.arrays)} inputs; use prepared()")
        return self._prepared(0, indices)

    def labels(self, indices: slice | NDArray[np.int64] = slice(None)) -> Tensor:
        """Return int64 targets (batch,) or (batch, positions), or float32 ones that a regression predicts."""
        if self.targets is None:
            raise DataError(f"data '{self.name}' has no targets")
        return torch.from_numpy(self.targets[indices].astype(np.float32 if self.is_regression else np.int64))

    @property
    def is_regression(self) -> bool:
        """Whether outputs are numbers, not class scores."""
        return self.regression or (self.targets is not None and self.targets.dtype.kind == "f")

    @property
    def has_classes(self) -> bool:
        """Whether there are class numbers, so that accuracy has a meaning."""
        return self.targets is not None and not self.is_regression

    def batches(self, size: int) -> Iterator[tuple[Inputs, Tensor | None]]:
        """Yield prepared inputs and targets in order."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.prepared(part), None if self.targets is None else self.labels(part)

    def take(self, n: int | None, seed: int = 0) -> "EvalData":
        """Return `n` examples chosen without order by `seed`; all of them when `n` is None or not smaller."""
        if n is None or n >= len(self):
            return self
        if n < 1:
            raise DataError(f"{n} samples asked for; at least 1 is needed")
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return self.at(chosen)

    def at(self, chosen: NDArray[np.int64]) -> "EvalData":
        """Return the examples with these numbers."""
        targets = None if self.targets is None else self.targets[chosen]
        return replace(self, inputs=self.inputs[chosen], targets=targets, more=tuple(x[chosen] for x in self.more))

    def with_next_tokens(self) -> "EvalData":
        """Return the same sequences (N, positions) with the token after each position as its target."""
        if not self.tokens or self.inputs.ndim != 2 or self.inputs.shape[1] < 2:
            raise DataError(f"data '{self.name}' holds no sequences of tokens, so no token comes next")
        last = np.full((len(self), 1), NO_TARGET, np.int64)
        return replace(self, targets=np.concatenate([self.inputs[:, 1:].astype(np.int64), last], 1))

    @cached_property
    def sha256(self) -> str:
        """Hash of inputs, targets and preprocessing: two equal hashes give equal numbers."""
        digest = sha256()
        for part in parts(self.inputs):
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(b"" if self.targets is None else self.targets.tobytes())
        digest.update(repr((self.inputs.shape, str(self.inputs.dtype), self.preprocessing)).encode())
        digest.update(b"tokens" if self.tokens else b"")
        if self.is_regression:
            digest.update(f"regression {self.targets is None}".encode())
        for array in self.more:
            digest.update(repr((array.shape, str(array.dtype))).encode() + np.ascontiguousarray(array).tobytes())
        digest.update(repr(self.types).encode() if self.more else b"")
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """The splits of one data set: calibration collects statistics, validation chooses, test judges once."""

    name: str
    title: str
    splits: Mapping[str, EvalData]
    note: str = ""  # what was done at loading that a reader of the figures should know, in sentences

    def split(self, name: str) -> EvalData:
        """Return one split; where there is none of that name, what chooses stands for it, then what judges."""
        if name not in SPLITS and name not in {data.split for data in self.splits.values()}:
            raise DataError(f"unknown split '{name}'; known: {', '.join(SPLITS)}")
        there = next((split for split in (name, *FALLBACK) if split in self.splits), None)
        return self.splits[there] if there else next(iter(self.splits.values()))

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
        return self.changed(preprocessing=preprocessing)

    def without_channel(self) -> "Dataset":
        """Return the same examples without their first dimension, which must have one entry."""
        return replace(self, splits={n: replace(data, inputs=data.inputs[:, 0]) for n, data in self.splits.items()})

    def as_tokens(self) -> "Dataset":
        """Return the same examples as numbers of words, which stay whole."""
        return self.changed(tokens=True)

    def with_next_tokens(self) -> "Dataset":
        """Return the same sequences with the token after each position as its target."""
        return replace(self, splits={name: data.with_next_tokens() for name, data in self.splits.items()})

    def changed(self, **changes: Any) -> "Dataset":
        """Return a copy in which some fields of all splits are others."""
        return replace(self, splits={name: replace(data, **changes) for name, data in self.splits.items()})


def _check_tokens(data: EvalData) -> None:
    if data.inputs.dtype.kind not in "ui":
        raise DataError(f"data '{data.name}' holds {data.inputs.dtype}; tokens are whole numbers")
    if data.inputs.min() < 0:
        raise DataError(f"data '{data.name}': token {data.inputs.min()} is below 0")
    if data.preprocessing != Preprocessing():
        raise DataError(f"data '{data.name}' holds tokens, which are read as they are; leave scale, mean and std out")
