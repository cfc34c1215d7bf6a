"""From plan to masks to a masked copy of the model; the input model is never changed."""

from pruning_core.apply.changes import changes_by_row, changes_for, joined, kept_weights, masks_for, summed, together
from pruning_core.apply.checks import check, rows_of
from pruning_core.apply.masked import apply, masked_copy, masked_form
from pruning_core.apply.plans import plan_for, uniform_plan

__all__ = [
    "apply",
    "changes_by_row",
    "changes_for",
    "check",
    "joined",
    "kept_weights",
    "masked_copy",
    "masked_form",
    "masks_for",
    "plan_for",
    "rows_of",
    "summed",
    "together",
    "uniform_plan",
]
