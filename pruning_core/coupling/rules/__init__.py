"""How labels travel through each operator: one file per family, one function per rule, the table `RULES`."""

from pruning_core.coupling.rules import contraction, elementwise, movement, recurrent, spatial, statistics, weighted
from pruning_core.coupling.rules.table import RULES

__all__ = ["RULES", "contraction", "elementwise", "movement", "recurrent", "spatial", "statistics", "weighted"]
