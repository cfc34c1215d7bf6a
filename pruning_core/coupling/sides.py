"""The sides of a weight as the coupling knows them, and the masks of what loses channels."""

import numpy as np
import torch
from torch import Tensor

from pruning_core.coupling import Coupling
from pruning_core.coupling.labels import IntArray
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at


def channel_masks(graph: ModelGraph, coupling: Coupling, removed: IntArray) -> dict[str, Tensor]:
    """Return the masks of all tensors that lose channels of the groups `removed`: by layer, or by parameter or buffer.

    The running variance stays as it is: a norm divides by it.
    """
    layers = {layer.parameter: layer for layer in graph.layers}
    found = {}
    for name, lines in coupling.lines(removed).items():
        if name.endswith("running_var") or not tensor_at(graph.module, name).is_floating_point():
            continue
        mask = torch.ones([len(line) for line in lines], dtype=torch.bool)
        for dimension, line in enumerate(lines):
            mask &= line.reshape([-1 if axis == dimension else 1 for axis in range(len(lines))])
        layer = layers.get(name)
        found[layer.name if layer else name] = layer.canonical(mask) if layer else mask
    return found


def side_of(layer: Layer, coupling: Coupling, outputs: bool) -> IntArray | None:
    """Return the group of each output (or input) of a weight (out, in, *kernel), or None where it has no such list."""
    dimension = int(layer.stored_in_out == outputs)
    size = layer.weight_shape[0 if outputs else 1]
    groups = coupling.roots.get((layer.parameter, dimension), np.zeros(size, np.int64))
    return groups if len(groups) == size else None


def numbered(sides: dict[str, IntArray | None], number: dict[int, int]) -> dict[str, Tensor]:
    """Return for each layer the unit of each index, -1 where it is in none; layers without any are left out."""
    found = {}
    for name, own in sides.items():
        if own is not None:
            units = torch.tensor([number.get(group, -1) for group in own.tolist()], dtype=torch.int64)
            if bool((units >= 0).any()):
                found[name] = units
    return found
