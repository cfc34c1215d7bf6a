"""Criteria that read the gradient of the loss."""

import torch
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion


@criterion("taylor", label="Taylor", needs=frozenset({"gradient"}), finish=torch.square)
def taylor(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """(sum of w g over a block)^2, the loss change to first order, squared (Molchanov et al. 2019, arXiv:1906.10771).

    Returned signed, w g: `finish` squares after the sum over a block, as the paper's group form does.
    """
    return weight * stats.known("gradient")
