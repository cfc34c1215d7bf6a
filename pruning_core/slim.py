"""From plan to a physically smaller model: what is masked as a whole channel or head is taken out, and proved equal."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from pruning_core.apply import changes_for, masked_copy
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
    """The forms of a pruned model: masked, and slimmed where whole channels or heads go."""

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
    return forms_of(model, changes_for(model, plan, calibration, ranking), data or calibration)


def forms_of(model: Model, change: Change, data: EvalData | None = None) -> Pruned:
    """Return the forms of a model that `change` prunes."""
    masked = masked_copy(model, change.masks, change.values)
    groups = np.array(sorted(group for group in change.removed if group > 0), np.int64)  # branches stay as zeros
    if not len(groups):
        return Pruned(change.masks, masked, None)
    batches = check_batches(data, model.example_inputs)
    return Pruned(change.masks, masked, take_out(model, model.coupling, groups, masked, batches))


def slim(plan: Plan, model: Model, data: EvalData | None = None) -> Slimmed:
    """Return the model without the channels and heads that the plan removes; `data` calibrates and checks.

    Refused where the plan removes none, and where the answers differ from the masked model's.
    """
    found = prune(model, plan, data).slimmed
    if found is None:
        raise PlanError(
            f"the plan removes no whole channel or head of '{model.name}', so nothing can be taken out; "
            "choose the granularity output_channel, input_channel or head for some layer"
        )
    return found
