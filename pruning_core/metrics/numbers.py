"""Metrics of outputs that are numbers: what a regression predicts, or whatever else is no class score."""

from math import sqrt

import torch
from torch import Tensor

from pruning_core.evaluate import Outcome
from pruning_core.intervals import mean_interval
from pruning_core.metrics.seam import Reading, metric
from pruning_core.positions import relative_error, squared_errors


@metric(
    "mean_squared_error",
    label="Mean squared error",
    unit="squared units",
    higher_is_better=False,
    needs={"targets", "numbers"},
)
def mean_squared_error(outcome: Outcome) -> Reading:
    """Squared distance from the targets, mean over outputs and examples."""
    return _mean(squared_errors(outcome.logits, outcome.known_targets), "squared error, mean over the outputs")


@metric("r2", label="R²", unit="fraction", higher_is_better=True, needs={"targets", "numbers", "varied"})
def r2(outcome: Outcome) -> Reading:
    """Share of the targets' variance that is predicted, over all outputs together; below 0 worse than their mean.

    The interval is that of a ratio of means (Cochran 1977, section 6.3), and leaves the mean of the targets as it is.
    """
    targets, n = outcome.known_targets.double().reshape(outcome.n, -1), outcome.n
    errors = squared_errors(outcome.logits, outcome.known_targets)
    spread = squared_errors(targets.mean(0).expand_as(targets), targets)
    missed = float(errors.sum() / spread.sum())
    off = (errors - missed * spread) / spread.mean()
    interval = mean_interval(1 - missed, sqrt(float(off.square().sum()) / (n - 1)), n)
    return Reading(1 - missed, f"of the variance of {n:,} targets; normal interval of a ratio", interval, n)


@metric(
    "relative_output_error",
    label="Relative output error",
    unit="fraction",
    higher_is_better=False,
    needs={"dense", "numbers"},
)
def relative_output_error(outcome: Outcome) -> Reading:
    """|output - dense output| / |dense output|, at most 1 for each example, mean over the examples."""
    return _mean(relative_error(outcome.logits, outcome.dense.logits), "distance from the dense output by its size")


def _mean(values: Tensor, what: str) -> Reading:
    """Return the mean of values (n,) with its normal interval."""
    n, average = len(values), float(values.mean())
    deviation = float(torch.std(values)) if n > 1 else 0.0
    return Reading(average, f"{what}, mean of {n:,} examples; normal interval", mean_interval(average, deviation, n), n)
