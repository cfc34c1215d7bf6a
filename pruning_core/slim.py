"""From plan to a physically smaller model: whole channels, heads and layers are taken out, and it is proved equal."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from pruning_core.apply import changes_for, masked_form
from pruning_core.coupling.rows import Rows
from pruning_core.data import EvalData
from pruning_core.errors import PlanError
from pruning_core.model import Model
from pruning_core.onnx_export import check_batches
from pruning_core.plan import Plan
from pruning_core.ranking import Change, Ranking
from pruning_core.slimming import Slimmed
from pruning_core.slimming import slim as take_out


@dataclass(frozen=True, eq=False)
class Pruned:
    """The forms of a pruned model: masked, and slimmed where whole channels, heads or layers go."""

    masks: Mapping[str, Tensor]  # by layer (out, in, *kernel), or by parameter
    masked: nn.Module
    slimmed: Slimmed | None

    @property
    def smallest(self) -> nn.Module:
        """The form that is run."""
        return self.masked if self.slimmed is None else self.slimmed.module


def prune(
    model: Model,
    plan: Plan,
    calibration: EvalData | None = None,
    *,
    ranking: Ranking | None = None,
    data: EvalData | None = None,
) -> Pruned:
    """Carry out a plan; `data` are the real examples on which the slimmed model is compared with the masked one."""
    ranking = (ranking or Ranking(model, calibration)).under(plan)
    change = changes_for(model, plan, ranking=ranking)
    return forms_of(model, change, data or calibration, rows=ranking.rows)


def forms_of(model: Model, change: Change, data: EvalData | None = None, *, rows: Rows | None = None) -> Pruned:
    """Return the forms of a model that `change` prunes, made with the units of `rows` (those without options)."""
    rows = rows or model.rows
    masked = masked_form(model, change, rows.coupling)
    if not change.removed:
        return Pruned(change.masks, masked, None)
    groups, skipped = np.array(sorted(change.removed), np.int64), rows.skipped(change.removed)
    batches = check_batches(data, model.example_inputs)
    taken = take_out(model, rows.coupling, groups[groups > 0], masked, batches, skipped)
    return Pruned(change.masks, masked, taken)


def slim(plan: Plan, model: Model, data: EvalData | None = None) -> Slimmed:
    """Return the model without the channels, heads and layers that the plan removes; `data` calibrates and checks.

    Refused where the plan removes none, and where the answers differ from the masked model's.
    """
    found = prune(model, plan, data).slimmed
    if found is None:
        raise PlanError(
            f"the plan removes no whole channel, head or layer of '{model.name}', so nothing can be taken out; "
            "choose the granularity output_channel, input_channel, head or layer somewhere"
        )
    return found
