"""Sensitivity: what the model loses when one layer alone is pruned."""

from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.limits import drop_at, largest_within
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.request import DEFAULT_LEVELS, Progress, Request
from pruning_core.sensitivity.store import Store
from pruning_core.sensitivity.sweep import cells_of, sweep, tally_of
from pruning_core.sensitivity.tally import Tally

__all__ = [
    "DEFAULT_LEVELS",
    "Cell",
    "Frontier",
    "Progress",
    "Replay",
    "Request",
    "Store",
    "Sweep",
    "Tally",
    "cells_of",
    "drop_at",
    "largest_within",
    "sweep",
    "tally_of",
]
