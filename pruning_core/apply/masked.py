"""A masked copy of the model; the input model is never changed."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from pruning_core.apply.changes import changes_for
from pruning_core.data import EvalData
from pruning_core.layers import tensor_at
from pruning_core.model import Model
from pruning_core.plan import Plan


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


def apply(plan: Plan, model: Model, data: EvalData | None = None) -> nn.Module:
    """Return a masked copy of the model's module as the plan says; raises PlanError when it cannot be carried out."""
    change = changes_for(model, plan, data)
    return masked_copy(model, change.masks, change.values)
