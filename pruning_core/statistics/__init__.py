"""One calibration pass: what every layer reads and gives, gradients and ablations, each only when asked for."""

from pruning_core.criteria.seam import LayerStatistics
from pruning_core.statistics.collect import collect

__all__ = ["LayerStatistics", "collect"]
