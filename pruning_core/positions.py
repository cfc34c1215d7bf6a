"""What the outputs of a model are: class scores of an example, class scores at each position, or numbers.

Class scores are (n, classes), or (n, positions, classes) as of language models. What an example counts for is the mean
over its positions, so positions of one sequence never pass for independent examples: intervals are over sequences. A
share of positions lies between 0 and 1 and so varies at most as a count of 0 or 1 with its mean, which makes intervals
of counts (Wilson, Agresti and Min) wide enough for shares too.

Numbers are all other outputs: those of a regression, (n,) or (n, outputs), masks of pictures, boxes. They are compared
with the dense model's by their relative error.
"""

import torch
from torch import Tensor

from pruning_core.errors import DataError

NO_TARGET = -100  # a position that does not count, as torch's cross entropy has it


def are_scores(output_shape: tuple[int, ...], targets: Tensor | None = None) -> bool:
    """Whether outputs of this shape, without the batch, are class scores; targets that are floats say they are not."""
    said = targets is not None and targets.is_floating_point()
    return not said and len(output_shape) in (1, 2) and output_shape[-1] > 1


def relative_error(outputs: Tensor, dense: Tensor) -> Tensor:
    """Return |outputs - dense| / |dense| of each example, float64 (n,), by the Euclidean norm; at most 1."""
    found, wanted = outputs.double().reshape(len(outputs), -1), dense.double().reshape(len(dense), -1)
    difference, size = (found - wanted).norm(dim=1), wanted.norm(dim=1)
    return torch.where(difference == 0, 0.0, difference / size.clamp(min=torch.finfo(torch.float64).tiny)).clamp(max=1)


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each example, float64 (n,), the mean over its outputs."""
    found, wanted = outputs.double().reshape(len(outputs), -1), targets.double().reshape(len(targets), -1)
    return (found - wanted).square().mean(1)


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


def check_targets(outputs: Tensor, targets: Tensor | None) -> None:
    """Refuse targets that are not one class for each answer, or one number for each number of the outputs."""
    if targets is None:
        return
    if targets.is_floating_point():
        if outputs.numel() != targets.numel():
            raise DataError(
                f"targets of shape {tuple(targets.shape)} do not fit outputs of shape {tuple(outputs.shape)}; one "
                "number for each output is needed"
            )
    elif targets.shape != outputs.shape[:-1]:
        raise DataError(
            f"targets of shape {tuple(targets.shape)} do not fit outputs of shape {tuple(outputs.shape)}; "
            f"one for each answer is needed, {tuple(outputs.shape[:-1])}, {NO_TARGET} where none counts"
        )
