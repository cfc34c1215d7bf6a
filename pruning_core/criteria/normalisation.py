"""Criteria that read the normalisation layer that follows."""

from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion, over_outputs


@criterion("bn_scale", label="Batch norm scale", needs=frozenset({"bn_scale"}), unit="output")
def bn_scale(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """|gamma| of the batch norm that follows, for each output channel (Liu et al. 2017, arXiv:1708.06519).

    Says little unless the model was trained with an L1 penalty on gamma, as the paper does.
    """
    return over_outputs(stats.known("bn_scale").abs(), weight)
