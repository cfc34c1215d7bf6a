"""`EvalData`: inputs with targets, how they are prepared, and the splits that keep choosing and judging apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.errors import DataError

SPLITS = ("calibration", "validation", "test")


@dataclass(frozen=True)
class Preprocessing:
    """`(x * scale - mean) / std`, mean and std per channel (dimension 1) or one for all."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not (0 < self.scale < np.inf and self.std and all(0 < value < np.inf for value in self.std)):
            raise DataError(f"scale {self.scale} and std {self.std} must be finite and above zero")
        if not (self.mean and np.isfinite(self.mean).all()):
            raise DataError(f"mean {self.mean} must be finite numbers")

    def apply(self, inputs: Tensor) -> Tensor:
        """Return float32 inputs of the same shape (batch, channels, ...)."""
        channels = inputs.shape[1] if inputs.dim() > 1 else 1
        for values in (self.mean, self.std):
            if len(values) not in (1, channels):
                raise DataError(f"{len(values)} values of mean or std do not fit {channels} channels")
        axes = (1, -1, *(1,) * (inputs.dim() - 2))
        mean, std = torch.tensor(self.mean).view(axes), torch.tensor(self.std).view(axes)
        return (inputs.float() * self.scale - mean) / std

    def __str__(self) -> str:
        numbers = [", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std)]
        return f"(x × {self.scale:.4g} − {numbers[0]}) ÷ {numbers[1]}"


@dataclass(frozen=True)
class EvalData:
    """N examples: raw inputs (N, ...) as stored, targets (N,) of class numbers or None, and their preprocessing."""

    name: str
    split: str
    inputs: NDArray[np.generic]
    targets: NDArray[np.int64] | None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_examples(self.inputs, self.targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: slice | NDArray[np.int64]) -> Tensor:
        """Return prepared float inputs (batch, ...) of the examples at `indices`."""
        return self.preprocessing.apply(torch.from_numpy(np.ascontiguousarray(self.inputs[indices], dtype=np.float32)))

    def labels(self, indices: slice | NDArray[np.int64] = slice(None)) -> Tensor:
        """Return int64 targets (batch,)."""
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

    @cached_property
    def sha256(self) -> str:
        """Hash of inputs, targets and preprocessing: two equal hashes give equal numbers."""
        digest = sha256(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(b"" if self.targets is None else self.targets.tobytes())
        digest.update(repr((self.inputs.shape, str(self.inputs.dtype), self.preprocessing)).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """The splits of one data set: calibration collects statistics, validation chooses, test judges once."""

    name: str
    title: str
    splits: Mapping[str, EvalData]

    def split(self, name: str) -> EvalData:
        """Return one split; a set that has no such split answers with its only one."""
        if name not in SPLITS:
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
        changed = {name: replace(data, preprocessing=preprocessing) for name, data in self.splits.items()}
        return replace(self, splits=changed)


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
    if targets.ndim != 1:
        raise DataError(f"targets have shape {targets.shape}; one class number each is needed, ({len(inputs)},)")
    if len(targets) != len(inputs):
        raise DataError(f"{len(inputs)} inputs but {len(targets)} targets")
    if targets.dtype.kind not in "ui":
        raise DataError(f"targets are {targets.dtype}; whole class numbers are needed")


def check_fits(data: EvalData, input_shape: tuple[int, ...], n_classes: int) -> None:
    """Refuse data whose examples or labels do not fit a model of `input_shape` (no batch) and `n_classes` outputs."""
    if tuple(data.inputs.shape[1:]) != input_shape:
        raise DataError(
            f"data '{data.name}' has examples of shape {tuple(data.inputs.shape[1:])}; the model takes {input_shape}"
        )
    if data.targets is None:
        return
    wrong = np.flatnonzero((data.targets < 0) | (data.targets >= n_classes))
    if len(wrong):
        raise DataError(
            f"data '{data.name}': target {data.targets[wrong[0]]} of example {wrong[0]} is outside 0 to {n_classes - 1}"
        )
