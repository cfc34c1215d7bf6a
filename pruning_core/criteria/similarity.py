"""Criteria that compare the filters of one layer with each other."""

from typing import Literal

import torch
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion, over_outputs


@criterion("similarity", label="Similarity (FPGM)", unit="output")
def similarity(
    weight: Tensor, stats: LayerStatistics, *, of: Literal["weights", "magnitudes", "squares"] = "weights"
) -> Tensor:
    """Sum of the distances ||F_i - F_j|| to all filters of the layer (He et al. 2019, arXiv:1811.00250).

    A filter near the geometric median of the others is replaced best by them. Torch-Pruning measures the distances of
    |F|^p instead: `of` magnitudes is its p=1, squares its p=2, the default there.
    """
    filters = weight.flatten(1).double()
    filters = {"weights": filters, "magnitudes": filters.abs(), "squares": filters.square()}[of]
    return over_outputs(torch.cdist(filters, filters).sum(1).to(weight.dtype), weight)
