"""Two modules on the same inputs: how far their outputs are apart, and how large the outputs are."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]


def difference(module: nn.Module, reference: nn.Module, batches: Iterable[Inputs]) -> tuple[float, float, int]:
    """Return the largest absolute difference, the largest absolute output of `reference`, and the number of examples.

    All tensors of an output count; a difference that is no number is infinite.
    """
    largest, scale, samples = 0.0, 0.0, 0
    for inputs in batches:
        with torch.inference_mode():
            found, wanted = list(tensors(module(*inputs))), list(tensors(reference(*inputs)))
        for one, other in zip(found, wanted, strict=True):
            if one.shape != other.shape:
                raise ValueError(f"outputs of shape {tuple(one.shape)} and {tuple(other.shape)}")
            apart = float((one - other).abs().max()) if one.numel() else 0.0
            largest = max(largest, apart if apart == apart else float("inf"))
            scale = max(scale, float(other.abs().max()) if other.numel() else 0.0)
        samples += len(inputs[0])
    return largest, scale, samples


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the floating point tensors of an output: one, or those in a tuple, list or mapping."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from tensors(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from tensors(value)
