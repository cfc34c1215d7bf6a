"""Criteria that read what flows into a layer or out of it on calibration data."""

from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion, over_outputs


@criterion("apoz", label="APoZ", needs=frozenset({"activation_zeros"}), unit="output")
def apoz(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """1 - share of zeros in the output channel's activations (Hu et al. 2016, arXiv:1607.03250)."""
    return over_outputs(1 - stats.known("activation_zeros"), weight)


@criterion("mean_activation", label="Mean activation", needs=frozenset({"activation_mean"}), unit="output")
def mean_activation(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """Mean magnitude of the output channel's activations (Molchanov et al. 2017, arXiv:1611.06440)."""
    return over_outputs(stats.known("activation_mean"), weight)


@criterion("wanda", label="Wanda", needs=frozenset({"input_norm"}))
def wanda(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """|w_ij| * ||x_j||_2 (Sun et al. 2023, arXiv:2306.11695).

    The paper compares within an output row; here weights compete where the granularity says, so a row only when
    its arena is one (n_m is the paper's semi-structured form).
    """
    return weight.abs() * stats.known("input_norm")
