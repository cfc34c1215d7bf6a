"""What a model is made of, as one document: its layers, what can be done with each, and what cannot be pruned, why."""

from typing import Any

from pruning_core.coupling.rows import Rows
from pruning_core.errors import GranularityError
from pruning_core.granularities import GRANULARITIES, Granularity, Shape
from pruning_core.layers import Layer, NotPrunable
from pruning_core.model import Model
from pruning_core.plan import Plan, PlanOptions
from pruning_core.ranking import Ranking


def inspect(model: Model, options: PlanOptions | None = None) -> dict[str, Any]:
    """Return the document of `inspect --json`; MACs are multiply-accumulates of one example, FLOPs = 2 x MACs.

    What is coupled with what, and what may go, is that under the options of a plan.
    """
    graph, rows = model.graph, Ranking(model).under(options or Plan()).rows
    return {
        "model": model.name,
        "params": graph.params,
        "macs": graph.macs,
        "size_bytes": graph.size_bytes,
        "layers": [*(_layer(layer, rows) for layer in graph.layers), *map(_left_out, graph.not_prunable)],
        "unsupported_operators": list(graph.unsupported_operators),
    }


def fitting(shape: Shape) -> dict[str, list[str]]:
    """Return the labels that fit a weight (out, in, *kernel) alone, by granularity: `{"n_m": ["2:4", "1:4"]}`."""
    labels = {name: _fitting_labels(m, shape) for name, m in GRANULARITIES.items() if m.structure is None}
    return {name: fit for name, fit in labels.items() if fit}


def _fitting_labels(member: Granularity, shape: Shape) -> list[str]:
    return [member.label_of(**preset) for preset in member.presets if _fits(member, shape, preset)]


def _fits(member: Granularity, shape: Shape, settings: dict[str, Any]) -> bool:
    try:
        member.layout(shape, **settings)
    except GranularityError:
        return False
    return True


def structures(rows: Rows, name: str) -> list[str]:
    """Return the structural granularities that layer `name` has units for."""
    return [member.name for member in GRANULARITIES.values() if member.structure and _has_units(rows, name, member)]


def _has_units(rows: Rows, name: str, member: Granularity) -> bool:
    try:
        rows.units(name, str(member.structure))
    except GranularityError:
        return False
    return True


def _layer(layer: Layer, rows: Rows) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "weight_shape": list(layer.weight_shape),
        "params": layer.params,
        "macs": layer.macs,
        "coupled_with": [name for name in rows.partners[layer.name] if name != layer.name],
        "granularities": [*fitting(layer.weight_shape), *structures(rows, layer.name)],
        "prunable": True,
        "why_not": None,
    }


def _left_out(parameter: NotPrunable) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "kind": "parameter",
        "weight_shape": list(parameter.shape),
        "params": parameter.params,
        "macs": 0,  # those that use it as a layer's weight
        "coupled_with": [],
        "granularities": [],
        "prunable": False,
        "why_not": parameter.why,
    }
