"""`pruning-explorer inspect`: layers, size and cost."""

from typing import Any

from explorer.commands import shown
from pruning_core.inspect import fitting, inspect
from pruning_core.loaders import load_model
from pruning_core.plan import Plan


def run(model_name: str, options: dict[str, Any], as_json: bool) -> None:
    """Print what the model is made of, and what a plan with these options may prune."""
    model = load_model(model_name)
    found = inspect(model, Plan(**options))
    if as_json:
        shown.document(found)
        return
    shown.line(f"{model.name}: {model.title}. {model.note}")
    macs = found["macs"]
    shown.line(
        f"{shown.count(found['params'])} parameters, {shown.size(found['size_bytes'])} with buffers, "
        f"{shown.large(macs)} MACs for one example (FLOPs = 2 × MACs)"
    )
    shown.line()
    prunable = [layer for layer in found["layers"] if layer["prunable"]]
    columns = ("Layer", "Kind", "Weight", "Parameters", "Share", "MACs", "Share", "Granularities")
    shown.table(columns, [_row(layer, found) for layer in prunable], text=("Kind", "Weight", "Granularities"))
    _left_out(found)


def _row(layer: dict[str, Any], found: dict[str, Any]) -> tuple[str, ...]:
    labels = [label for fit in fitting(tuple(layer["weight_shape"])).values() for label in fit]
    return (
        layer["name"],
        layer["kind"],
        shown.shape(layer["weight_shape"]),
        shown.count(layer["params"]),
        _share(layer["params"], found["params"]),
        shown.large(layer["macs"]),
        _share(layer["macs"], found["macs"]),
        ", ".join(labels),
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _left_out(found: dict[str, Any]) -> None:
    rest = [layer for layer in found["layers"] if not layer["prunable"]]
    if rest:
        shown.line()
        rows = [(r["name"], shown.shape(r["weight_shape"]), shown.count(r["params"]), r["why_not"]) for r in rest]
        shown.table(("Not prunable", "Shape", "Parameters", "Why"), rows, text=("Shape", "Why"))
    if found["unsupported_operators"]:
        shown.line()
        shown.line(f"No rule for the MACs of {', '.join(found['unsupported_operators'])}: they are not counted.")
