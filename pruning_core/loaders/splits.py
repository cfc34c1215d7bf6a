"""The splits of data that come in parts: training, validation and test, under whatever names people give them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pruning_core.data import Dataset, EvalData

NAMES = {
    "calibration": ("train", "training", "calibration"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
MOST_CUT = 5000  # training examples that become validation examples, where there are no others


def split_named(name: str) -> str | None:
    """Return the split that a name means, such as calibration for `train`; None for another name."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def dataset_of(name: str, parts: Mapping[str, EvalData], note: str = "") -> Dataset:
    """Return a data set of its parts by split; one part alone serves for everything.

    Where nothing is there to choose on, a tenth of the training examples, drawn at random, is kept for that.
    """
    if len(parts) == 1:
        (data,) = parts.values()
        return Dataset(name, name, {"validation": replace(data, split="all")}, note)
    if "validation" not in parts and len(train := parts["calibration"]) > 1:
        order = np.random.default_rng(0).permutation(len(train))
        n = min(MOST_CUT, max(1, len(train) // 10))
        cut, rest = np.sort(order[:n]), np.sort(order[n:])
        parts = {**parts, "calibration": train.at(rest), "validation": replace(train.at(cut), split="validation")}
        said = f"{n:,} of {len(train):,} training examples, drawn at random, choose; the test examples judge."
        note = f"{note} {said}".strip()
    return Dataset(name, name, {split: parts[split] for split in NAMES if split in parts}, note)
