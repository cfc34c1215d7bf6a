"""Data sets from named arrays: `x` and `y`, `x_train` and `y_test`, `x0` and `x1`, or the names of a model's inputs."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.loaders.splits import dataset_of, split_named
from pruning_core.model import Model
from pruning_core.refusals import told

Array = NDArray[Any]
HOW = "save it with numpy.savez(file, x=inputs, y=labels)"


def from_arrays(name: str, arrays: Mapping[str, Array], model: Model | None = None, source: str = "") -> Dataset:
    """Return the data set of arrays; images (n, height, width) get a channel, targets (n, 1) lose their one column."""
    parts = by_split(arrays)
    inputs = {split: _inputs(part, model) for split, part in parts.items()}
    if not any(inputs.values()):
        found = ", ".join(f"'{key}'" for key in arrays) or "nothing"
        raise told("E304", f"'{source or name}' holds {found} but no array 'x'; {HOW}")
    return dataset_of(
        name,
        {
            split: EvalData(name, split, _pictures(first), targets_of(parts[split].get("y")), source=source, more=more)
            for split, (first, *rest) in ((split, found) for split, found in inputs.items() if found)
            for more in [tuple(rest)]
        },
    )


def by_split(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Return the arrays of each split by what they are: `x_train` is the `x` of calibration, `x` that of all."""
    found: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        base, _, end = key.rpartition("_")
        split = split_named(end) if base else None
        found.setdefault(split or "all", {})[base if split else key] = array
    has_splits = any("x" in part or "x0" in part for split, part in found.items() if split != "all")
    return {split: part for split, part in found.items() if split != "all"} if has_splits else found


def wanted(key: str, model: Model | None) -> bool:
    """Whether an array of this name is one of inputs or targets; others are not read."""
    base, _, end = key.rpartition("_")
    plain = base if base and split_named(end) else key
    return plain in ("x", "y") or (plain[0:1] == "x" and plain[1:].isdigit()) or plain in input_names(model)


def input_names(model: Model | None) -> tuple[str, ...]:
    """Return the names that a model of several inputs gives them."""
    if model is None or len(model.example_inputs) == 1:
        return ()
    return tuple(node.name for node in model.graph.module.graph.nodes if node.op == "placeholder")


def _inputs(arrays: Mapping[str, Array], model: Model | None) -> list[Array]:
    """Return the inputs in the model's order: by its names for them, by x0, x1 and so on, or the one `x`."""
    names = input_names(model)
    if names and all(name in arrays for name in names):
        return [arrays[name] for name in names]
    numbered = [f"x{i}" for i in range(len(arrays)) if f"x{i}" in arrays]
    return [arrays[key] for key in numbered or ("x",) if key in arrays]


def _pictures(x: Array) -> Array:
    return x[:, None] if x.ndim == 3 else x


def targets_of(y: Array | None) -> Array | None:
    """Return targets (n,) for (n, 1); all else is left for the check of the data to judge."""
    return y[:, 0] if y is not None and y.ndim == 2 and y.shape[1] == 1 else y
