"""Sensitivity: what the model loses when one layer alone is pruned."""

from pruning_core.sensitivity.activations import ActivationDrop, why_not_activations
from pruning_core.sensitivity.additivity import Additivity, additivity, predicted_change
from pruning_core.sensitivity.advice import advice, is_separated, more_samples, more_samples_within
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.hints import HINTS, worth_of
from pruning_core.sensitivity.interactions import InteractionMap, interactions
from pruning_core.sensitivity.limits import drop_at, largest_within
from pruning_core.sensitivity.norm_statistics import NormFinding, check_norm_statistics, re_estimated
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.request import DEFAULT_LEVELS, Progress, Request
from pruning_core.sensitivity.store import Store
from pruning_core.sensitivity.sweep import cells_of, sweep, tally_of
from pruning_core.sensitivity.tally import Tally

__all__ = [
    "DEFAULT_LEVELS",
    "HINTS",
    "ActivationDrop",
    "Additivity",
    "Cell",
    "Frontier",
    "InteractionMap",
    "NormFinding",
    "Progress",
    "Replay",
    "Request",
    "Store",
    "Sweep",
    "Tally",
    "additivity",
    "advice",
    "cells_of",
    "check_norm_statistics",
    "drop_at",
    "interactions",
    "is_separated",
    "largest_within",
    "more_samples",
    "more_samples_within",
    "predicted_change",
    "re_estimated",
    "sweep",
    "tally_of",
    "why_not_activations",
    "worth_of",
]
