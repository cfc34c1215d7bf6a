"""Magnitude made comparable between layers."""

import torch
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion


@criterion("lamp", label="LAMP")
def lamp(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """w^2 / sum of w'^2 over weights of the layer not smaller than w (Lee et al. 2021, arXiv:2010.07611).

    Ranks one layer as magnitude does; made for scope `model`, where the largest weight of each layer scores 1. Equals
    stand in the order of their index, as in the paper, the first as the largest.
    """
    squares = weight.flatten().double().square()
    largest_first = torch.sort(squares, descending=True, stable=True)
    sums = largest_first.values.cumsum(0)
    scores = torch.zeros_like(squares)
    scores[largest_first.indices] = torch.where(sums > 0, largest_first.values / sums, 0.0)  # 0 / 0 in a layer of zeros
    return scores.reshape(weight.shape).to(weight.dtype)
