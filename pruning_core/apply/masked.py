"""A masked copy of the model; the input model is never changed."""

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.apply.changes import changes_for
from pruning_core.coupling import Coupling
from pruning_core.data import EvalData
from pruning_core.layers import tensor_at
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.ranking import Change, Ranking
from pruning_core.slimming import living_module, thins_norms


def masked_copy(
    model: Model, masks_by_name: Mapping[str, Tensor], values: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a copy of the module with new `values`, and with zeros where the masks keep nothing.

    Both are by layer (out, in, *kernel), or by parameter in its stored shape.
    """
    module, layers = deepcopy(model.module), model.graph.by_name
    for name, value in (values or {}).items():
        layer = layers.get(name)
        with torch.no_grad():
            tensor_at(module, layer.parameter if layer else name).copy_(layer.stored(value) if layer else value)
    for name, mask in masks_by_name.items():
        layer = layers.get(name)
        with torch.no_grad():
            tensor = tensor_at(module, layer.parameter if layer else name)
            tensor.masked_fill_(~(layer.stored(mask) if layer else mask), 0)
    return module


def masked_form(model: Model, change: Change, coupling: Coupling) -> nn.Module:
    """Return the model as `change` masks it; `coupling` is the one that the change was made under.

    A masked copy of the module, but where norms lose channels a graph in which they see those that stay alone.
    """
    masked = masked_copy(model, change.masks, change.values)
    groups = np.array(sorted(group for group in change.removed if group > 0), np.int64)
    if len(groups) and thins_norms(coupling, groups):
        return living_module(model.module, coupling, groups, masked)
    return masked


def apply(plan: Plan, model: Model, data: EvalData | None = None) -> nn.Module:
    """Return the model's module masked as the plan says; raises PlanError when it cannot be carried out."""
    ranking = Ranking(model, data).under(plan)
    return masked_form(model, changes_for(model, plan, ranking=ranking), ranking.coupling)
