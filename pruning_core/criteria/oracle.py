"""The criterion that measures instead of estimating."""

from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion, over_outputs


@criterion("ablation", label="Ablation (oracle)", needs=frozenset({"ablation"}), unit="output")
def ablation(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """Loss increase when the output channel alone is zeroed, measured (Molchanov et al. 2017, arXiv:1611.06440).

    The paper's oracle, signed: a channel whose loss falls scores below zero. Zeroed after norm and nonlinearity, which
    is what removing the channel does.
    """
    return over_outputs(stats.known("ablation"), weight)
