"""The pruning core: everything the app and the command line do, for notebooks.

import pruning_core as pc

model, data = pc.load_model("lenet_300_100"), pc.load_data("mnist")
bench = pc.Workbench(model, data)
bench.edit("fc1", sparsity=0.9)
print(bench.refine(seconds=1.0))
"""

from pruning_core.allocation import Problem, allocate
from pruning_core.apply import apply, masked_copy, masks_for, plan_for, uniform_plan
from pruning_core.coupled import edited, spread
from pruning_core.data import Dataset, EvalData, Preprocessing
from pruning_core.errors import PruningError
from pruning_core.exporters import export
from pruning_core.loaders import load_data, load_model
from pruning_core.loaders.suggest import suggest_preprocessing
from pruning_core.measure import Report, measure
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity.sweep import Request, sweep
from pruning_core.sensitivity.sweep import sweep as sensitivity
from pruning_core.slim import Pruned, prune, slim
from pruning_core.workbench import Estimate, Reference, Workbench

__all__ = [
    "Dataset",
    "Estimate",
    "EvalData",
    "LayerPlan",
    "Model",
    "Plan",
    "Preprocessing",
    "Problem",
    "Pruned",
    "PruningError",
    "Reference",
    "Report",
    "Request",
    "Workbench",
    "allocate",
    "apply",
    "edited",
    "export",
    "load_data",
    "load_model",
    "masked_copy",
    "masks_for",
    "measure",
    "plan_for",
    "prune",
    "sensitivity",
    "slim",
    "spread",
    "suggest_preprocessing",
    "sweep",
    "uniform_plan",
]
