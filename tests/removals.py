"""Choices of groups for tests and benchmarks, and the masked module they imply, written without the package's help."""

from collections import defaultdict
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.coupling import Coupling
from pruning_core.layers import tensor_at

IntArray = NDArray[np.int64]


def families(coupling: Coupling) -> list[list[int]]:
    """Return the prunable groups, those together that touch the same dimensions of the same tensors."""
    slots: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for slot, roots in coupling.roots.items():
        for group in np.unique(roots).tolist():
            if group and group not in coupling.why_not:
                slots[group].add(slot)
    found: dict[frozenset[tuple[str, int]], list[int]] = defaultdict(list)
    for group, touched in slots.items():
        found[frozenset(touched)].append(group)
    return list(found.values())


def weakest(coupling: Coupling, share: float) -> IntArray:
    """Return the share of each family with the smallest L2 norm; at least one group of each stays."""
    norms = np.zeros(1 + max((int(roots.max()) for roots in coupling.roots.values()), default=0))
    for (name, dim), roots in coupling.roots.items():
        weight = stored(coupling, name)
        squares = weight.detach().float().square().movedim(dim, 0).reshape(len(roots), -1).sum(1)
        np.add.at(norms, roots, squares.numpy())
    ordered = [sorted(family, key=lambda group: norms[group]) for family in families(coupling)]
    return np.array(sorted(g for family in ordered for g in family[: count(share, family)]), dtype=np.int64)


def random_groups(coupling: Coupling, share: float, seed: int) -> IntArray:
    """Return a random share of each family; at least one group of each stays."""
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(family)[: count(share, family)] for family in families(coupling)]
    return np.sort(np.concatenate([*chosen, np.zeros(0, dtype=np.int64)]))


def count(share: float, family: list[int]) -> int:
    """Return how many of a family go."""
    return min(int(share * len(family)), len(family) - 1)


def stored(coupling: Coupling, name: str) -> torch.Tensor:
    """Return a tensor of the model by its name there."""
    module = coupling.module
    part = next((part for part in coupling.parts.items() if part[1].packed == name), None)
    if part is None:
        return tensor_at(module, name)
    pieces = sorted((p.start, piece) for piece, p in coupling.parts.items() if p.packed == name)
    return torch.cat([tensor_at(module, piece) for _, piece in pieces], part[1].dim)


def masked_module(module: nn.Module, coupling: Coupling, removed: IntArray) -> nn.Module:
    """Return a copy of `module` in which all that belongs to a removed group is zero."""
    copy = deepcopy(module)
    gone = torch.from_numpy(removed)
    for (name, dim), roots in coupling.roots.items():
        if not name.endswith("running_var"):
            dead = torch.isin(torch.from_numpy(roots), gone).nonzero()[:, 0]
            tensor_at(copy, name).data.index_fill_(dim, dead, 0)
    return copy
