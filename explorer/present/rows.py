"""From the core's objects to plain rows for the mixer: what each layer is, what is known of its drop, what fits it."""

from functools import lru_cache
from typing import Any

import pruning_core as pc
from explorer import work
from explorer.present.groups import groups, removable
from explorer.present.options import granularity_settings, option_value, request_for
from explorer.state import ExplorerState
from pruning_core.coupled import row_of
from pruning_core.coupling.units import Units
from pruning_core.criteria import CRITERIA, why_not_criterion
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.layers import Layer
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking, refuses
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.limits import drop_at

Row = dict[str, Any]
MEASURED_FROM = 500  # examples; a curve of fewer is drawn as a preview


def mixer_rows(bench: pc.Workbench, state: ExplorerState) -> list[Row]:
    """Return all rows: prunable layers in the model's order, then what cannot be pruned, with the reason."""
    graph = bench.model.graph
    total_params, total_macs = max(1, graph.params), max(1, graph.macs)
    rows = [_row(bench, state, layer, layer.params / total_params, layer.macs / total_macs) for layer in graph.layers]
    coupled = groups(bench, state.plan)
    rows = [row | {"group": coupled.get(row["name"])} for row in rows]
    return rows + [
        {
            "name": other.name,
            "kind": f"parameter · {' × '.join(map(str, other.shape))}",
            "prunable": False,
            "why_not": f"{other.why[0].upper()}{other.why[1:]}.",
            "share_params": other.params / total_params,
            "share_macs": 0.0,
        }
        for other in graph.not_prunable
    ]


def _row(bench: pc.Workbench, state: ExplorerState, layer: Layer, share_params: float, share_macs: float) -> Row:
    wish = state.plan.layer(layer.name)
    curve, cells = curve_and_cells(bench, state, layer.name)
    layout = bench.ranking.layout(layer.name, wish)
    return {
        "name": layer.name,
        "kind": kind(layer),
        "prunable": True,
        "why_not": None,
        "n_weights": layer.n_weights,
        "share_params": share_params,
        "share_macs": share_macs,
        "sparsity": wish.sparsity,
        "granularity": option_value(wish.granularity, granularity_settings(wish)),
        "criterion": wish.criterion,
        "locked": wish.locked,
        "steps": list(layout.steps) if layout.steps else None,
        "max_sparsity": (layout.blocks_per_arena - 1) / layout.blocks_per_arena,
        "curve": curve,
        "measurable": bench.dataset is not None,
        "drop": _alone(bench, state, layer.name) or _drop(wish, curve, cells),
        "bytes_per_weight": 4,
        "units": removable(bench, layer.name, wish),
        "granularities": _granularities(bench.ranking, layer.name),
        "criteria": _criteria(bench.reference, layer.name, layout),
    }


def kind(layer: Layer) -> str:
    """Return `conv 3×3 · 16 → 32`, `linear · 784 → 300`."""
    out, inputs, *kernel = layer.weight_shape
    size = f" {'×'.join(map(str, kernel))}" if kernel else ""
    if layer.kind == "embedding":
        return f"embedding · {inputs} → {out}"
    word = layer.kind.rstrip("123d") if layer.kind.startswith("conv") else "linear"
    if layer.groups == out and inputs == 1 and kernel:
        return f"depthwise{size} · {out}"
    grouped = f" · {layer.groups} groups" if layer.groups > 1 else ""
    return f"{word.replace('_', ' ')}{size} · {inputs * layer.groups} → {out}{grouped}"


@lru_cache(maxsize=4096)
def _granularities(ranking: Ranking, name: str) -> list[Row]:
    """Return the granularities; what does not fit the layer says why."""
    found = []
    for granularity in GRANULARITIES.values():
        for preset in granularity.presets:
            why = refuses(ranking, name, LayerPlan(granularity=granularity.name, settings=preset))
            option = {"value": option_value(granularity.name, preset), "label": granularity.label_of(**preset)}
            found.append(option | ({"disabled": _short(why, name)} if why else {}))
    return found


@lru_cache(maxsize=4096)
def _criteria(reference: pc.Reference, name: str, cut: Layout | Units) -> list[Row]:
    """Return the criteria; one that has no meaning for what is cut, or lacks its data, says why."""
    data, found = reference.dataset, []
    labelled = data is not None and data.calibration.targets is not None
    for member in CRITERIA.values():
        why = why_not_criterion(
            reference.model.graph, name, member.name, cut, has_data=data is not None, has_targets=labelled
        )
        found.append({"value": member.name, "label": member.label} | ({"disabled": _short(why, name)} if why else {}))
    return found


def _short(why: str, name: str) -> str:
    return why.removeprefix(f"{name}: ").split(";")[0]


def curve_and_cells(bench: pc.Workbench, state: ExplorerState, name: str) -> tuple[Row | None, tuple[Cell, ...]]:
    """Return the curve of a layer pruned as the plan wishes, in points, and the cells it runs through."""
    wish = state.plan.layer(name)
    known = work.curves(state.model or "", state.data, request_for(wish, state.plan))
    row = row_of(name, wish, bench.ranking)  # a coupled row is measured once, under the name of its first layer
    cells = next((cells for member in row if (cells := known.of_layer(member))), ()) if known else ()
    if not cells:
        return None, ()
    drops = [0.0, *(100 * cell.drop for cell in cells)]
    curve = {
        "levels": [0.0, *(cell.sparsity for cell in cells)],
        "drops": drops,
        "low": [0.0, *(100 * cell.drop_interval[0] for cell in cells)],
        "high": [0.0, *(100 * cell.drop_interval[1] for cell in cells)],
        "preview": any(_is_preview(cell, bench.reference.n_examples) for cell in cells),
    }
    return curve, cells


def _is_preview(cell: Cell, n_examples: int) -> bool:
    return not cell.done or sum(cell.all_sizes) < min(MEASURED_FROM, n_examples)


def _alone(bench: pc.Workbench, state: ExplorerState, name: str) -> Row | None:
    """Return the plan's own measurement where it prunes this layer and no other: it is the drop of the layer alone."""
    pruned = {other for other, wish in state.plan.layers.items() if wish.sparsity > 0}
    if pruned != {*row_of(name, state.plan.layer(name), bench.ranking)} or bench.dataset is None or not bench.started:
        return None
    estimate = bench.estimate()
    low, high = estimate.drop_interval
    now = "known" if estimate.done else "measuring"
    half = 50 * (high - low)
    return {"state": now, "value": 100 * estimate.drop, "half": half, "n": estimate.n, "total": estimate.total}


def _drop(wish: LayerPlan, curve: Row | None, cells: tuple[Cell, ...]) -> Row:
    if wish.sparsity == 0:
        return {"state": "dense", "value": 0.0, "half": 0.0, "n": 0, "text": None}
    if curve is None:
        return {"state": "none", "value": None, "half": None, "n": 0, "text": "not measured"}
    drop, half = drop_at(cells, wish.sparsity)
    exact = next((cell for cell in cells if abs(cell.sparsity - wish.sparsity) < 5e-5), None)
    n = exact.tally.n if exact else min(cell.tally.n for cell in cells)
    return {"state": "known" if exact else "est", "value": 100 * drop, "half": 100 * half, "n": n, "text": None}
