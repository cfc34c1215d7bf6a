"""Data of the selected layer: its header, weights and activations."""

import struct
from json import dumps
from typing import Any

import numpy as np

import pruning_core as pc
from explorer.figures import words
from explorer.present.groups import removable
from explorer.present.options import granularity_settings
from explorer.present.rows import kind
from explorer.state import ExplorerState
from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.granularities import GRANULARITIES
from pruning_core.pictures import Histogram, Picture, histogram, picture

TABS = ("Weights", "Activations", "Graph")


def panel(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the header of the selected layer and its tabs."""
    layer = bench.model.graph.layer(state.layer or "")
    wish = state.plan.layer(layer.name)
    kept = bench.ranking.n_kept_weights(layer.name, wish) if state.plan.scope == "layer" else layer.n_weights
    facts = [{"text": part} for part in kind(layer).split(" · ")]
    facts.append({"text": f"{words.count(layer.n_weights)} weights"})
    units = removable(bench, layer.name, wish)
    if units:
        left = bench.ranking.n_keep(layer.name, wish)
        facts.append({"text": f"{left} of {words.plural(units['n'], units['word'])} kept", "strong": True})
    elif wish.sparsity:
        facts.append({"text": f"{words.count(kept)} kept", "strong": True})
    tag = f"{words.rounded(100 * wish.sparsity).removesuffix('.0')} % pruned"
    return {
        "layer": layer.name,
        "tag": tag if wish.sparsity else "dense",
        "pruned": wish.sparsity > 0,
        "facts": facts,
        "tabs": list(TABS),
        "tab": state.tab,
    }


def stay(bench: pc.Workbench, state: ExplorerState) -> list[str]:
    """Return sentences on channels or heads of the selected layer that must stay."""
    name = state.layer or ""
    units = removable(bench, name, state.plan.layer(name))
    return [f"{sentence}." for sentence in units["stay"]] if units else []


def weights(bench: pc.Workbench, state: ExplorerState) -> bytes:
    """Return the Weights tab: a JSON header, then magnitudes and kept shares as bytes."""
    name = state.layer or ""
    layer, wish = bench.model.graph.layer(name), state.plan.layer(name)
    options = {"view": "folded", "sorted": True, "show_mask": True} | dict(state.view.get("weights", {}))
    weight = bench.model.graph.weight(name)
    mask = bench.masks().get(name) if state.plan.scope == "model" else None
    if mask is None and wish.sparsity and state.plan.scope == "layer":
        mask = bench.ranking.mask(name, wish)
    drawn = picture(weight, mask, options["view"], options["sorted"])
    counted = histogram(weight, mask)
    vmax = float(drawn.magnitudes.max()) or 1.0
    out, inputs = layer.weight_shape[:2]
    header = options | {
        "layer": name,
        "push": state.push,
        "rows": drawn.magnitudes.shape[0],
        "cols": drawn.magnitudes.shape[1],
        "cell_label": drawn.label,
        "cell_size": drawn.weights_per_cell,
        "vmax": vmax,
        "row_axis": f"{words.plural(inputs, 'input')} down",
        "col_axis": f"{words.plural(out, 'output')} across" + (f", {drawn.limited}" if drawn.limited else ""),
        "aggregated": drawn.aggregated,
        "row_ids": list(drawn.row_ids),
        "col_ids": list(drawn.col_ids),
        "views": ["folded", "kernels"] if len(layer.weight_shape) > 2 else ["folded"],
        "kernel": _kernel(bench, name, mask, drawn, state.view.get("cell")),
        "histogram": _histogram(counted),
        "sparsity": wish.sparsity,
        "pruned_by": f"{GRANULARITIES[wish.granularity].label_of(**granularity_settings(wish))}, "
        f"{CRITERIA[wish.criterion].label}",
        "draggable": not wish.locked and wish.criterion in ("l1", "l2") and wish.granularity == "fine_grained",
    }
    head = dumps(header).encode()
    share = (drawn.kept * 255).round().to(dtype=drawn.kept.dtype).numpy().astype(np.uint8)
    size = (drawn.magnitudes / vmax * 255).round().numpy().astype(np.uint8)
    return struct.pack("<I", len(head)) + head + size.tobytes() + share.tobytes()


def _histogram(counted: Histogram) -> dict[str, Any]:
    return {
        "counts": list(counted.counts),
        "pruned": list(counted.pruned),
        "low": -counted.limit,
        "high": counted.limit,
        "threshold": counted.threshold,
        "abs_sorted_quantiles": list(counted.quantiles),
    }


def _kernel(bench: pc.Workbench, name: str, mask: Any, drawn: Picture, cell: dict[str, Any] | None) -> Any:
    """Return the kernel of the chosen cell, the largest one where none was chosen; None without kernels."""
    weight = bench.model.graph.weight(name)
    if weight.dim() < 3:
        return None
    mine = cell if cell and cell.get("layer") == name else None
    out, inp = (mine["col"], mine["row"]) if mine else (drawn.col_ids[0], drawn.row_ids[0])
    values = weight[out, inp]
    kept = mask[out, inp] if mask is not None else values == values
    if values.dim() > 2:
        return None
    shape = [1, *values.shape] if values.dim() == 1 else list(values.shape)
    return {
        "title": f"Output {out}, input {inp}",
        "detail": f"{int(kept.sum())} of {values.numel()} kept",
        "row": inp,
        "col": out,
        "shape": shape,
        "values": values.flatten().tolist(),
        "kept": kept.flatten().tolist(),
    }


def activations(bench: pc.Workbench, state: ExplorerState) -> dict[str, Any]:
    """Return the Activations tab: zeros by channel of every layer over the calibration data."""
    found: dict[str, LayerStatistics] = bench.ranking.statistics(frozenset({"activation_zeros"}))
    layers = []
    for name, stats in found.items():
        zeros = stats.known("activation_zeros")
        layers.append(
            {
                "name": name,
                "zeros": [round(value, 4) for value in zeros.tolist()],
                "channels": len(zeros),
                "overall": float(zeros.mean()),
                "dead": stats.dead_channels.tolist(),
                "has_relu": bool((zeros > 0).any()),
            }
        )
    return {"layers": layers, "selected": state.layer, "n": next(iter(found.values())).n if found else 0}
