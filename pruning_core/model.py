"""`Model`: a module with its name, example input and hash; the graph is traced once, when first asked for."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.coupling import Coupling, Options, couple
from pruning_core.coupling.rows import Rows
from pruning_core.data import Preprocessing
from pruning_core.graph import ModelGraph, trace
from pruning_core.refusals import told


@dataclass(frozen=True)
class Architecture:
    """How to build the module again without pickles: Python source, and the expression that makes it."""

    source: str  # imports and definitions
    expression: str  # evaluates to an nn.Module after `source`


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model in evaluation mode. Its tensors are never changed; `pc.apply` works on a copy."""

    name: str
    module: nn.Module
    example_inputs: tuple[Tensor, ...]  # batch first
    title: str = ""
    data_name: str | None = None  # the data it was trained on, where known
    architecture: Architecture | None = None
    note: str = ""  # what was done at loading, in a sentence
    preprocessing: Preprocessing | None = None  # of raw pixels, as in training; for data that say nothing of theirs
    _rows: dict[Options, Rows] = field(default_factory=dict, init=False, repr=False)
    _coupling: Lock = field(default_factory=Lock, init=False, repr=False)  # held by who couples

    def __post_init__(self) -> None:
        self.module.eval()
        check_finite(self.module.named_parameters())

    def __reduce__(self) -> tuple[type["Model"], tuple[Any, ...]]:
        """Leave out what a copy in another process finds again."""
        return Model, tuple(getattr(self, field.name) for field in fields(self) if field.init)

    @cached_property
    def graph(self) -> ModelGraph:
        """The one functional graph of the module."""
        return trace(self.module, self.example_inputs)

    @property
    def coupling(self) -> Coupling:
        """Which channels live or die together."""
        return self.coupling_under(Options())

    @property
    def rows(self) -> Rows:
        """The coupled units of every layer."""
        return self.rows_under(Options())

    def coupling_under(self, options: Options) -> Coupling:
        """Return which channels live or die together under a plan's options, found once for each."""
        return self.rows_under(options).coupling

    def rows_under(self, options: Options) -> Rows:
        """Return the coupled units of every layer under a plan's options, found once for each."""
        with self._coupling:
            if options not in self._rows:
                self._rows[options] = Rows(self.graph, couple(self.graph, options))
            return self._rows[options]

    @cached_property
    def sha256(self) -> str:
        """Hash over the names and bytes of all parameters and buffers."""
        return state_hash(self.module)


def check_finite(named: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse NaN and infinite weights by name: scores and masks of such a model would be arbitrary."""
    for name, tensor in named:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise told("E244", f"weight '{name}' holds {count} NaN or infinite values; mend or re-export the model")


def state_hash(module: nn.Module) -> str:
    """Hash over the names, shapes and bytes of the module's state."""
    digest = sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
