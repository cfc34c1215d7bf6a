"""Models that answer at each position of an example, such as language models: outputs (n, positions, classes).

What an example counts for is the mean over its positions, so positions of one sequence never pass for independent
examples: intervals are over sequences. A share of positions lies between 0 and 1 and so varies at most as a count of 0
or 1 with its mean, which makes intervals of counts (Wilson, Agresti and Min) wide enough for shares too.
"""

import torch
from torch import Tensor

from pruning_core.errors import DataError

NO_TARGET = -100  # a position that does not count, as torch's cross entropy has it


def by_example(values: Tensor, targets: Tensor | None) -> Tensor:
    """Return values (n,) as they are, or the mean (n,) float64 of values (n, positions) where there is a target."""
    if values.dim() == 1:
        return values
    counted = torch.ones_like(values, dtype=torch.float64) if targets is None else (targets != NO_TARGET).double()
    return (values.double() * counted).sum(1) / counted.sum(1)


def of_targets(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return what `log_p` (n, ..., classes) holds for the targets (n, ...); 0 where there is none."""
    found = log_p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return found if targets.dim() == 1 else found.masked_fill(targets == NO_TARGET, 0.0)


def check_targets(logits: Tensor, targets: Tensor | None) -> None:
    """Refuse targets that are not one for each answer of outputs (n, classes) or (n, positions, classes)."""
    if targets is not None and targets.shape != logits.shape[:-1]:
        raise DataError(
            f"targets of shape {tuple(targets.shape)} do not fit outputs of shape {tuple(logits.shape)}; "
            f"one for each answer is needed, {tuple(logits.shape[:-1])}, {NO_TARGET} where none counts"
        )
