"""The facade that app, command line and notebooks use: holds model, data and plan, and answers an edit."""

from pruning_core.sensitivity.reference import Reference
from pruning_core.workbench.estimate import Estimate
from pruning_core.workbench.workbench import Workbench

__all__ = ["Estimate", "Reference", "Workbench"]
