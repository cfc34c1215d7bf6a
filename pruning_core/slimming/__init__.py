"""Slimming: removed channels leave the tensors, and the smaller model is proven equal to the masked one."""

from pruning_core.slimming.counts import Counts, counts_of, slimmed_counts
from pruning_core.slimming.living import living_graph
from pruning_core.slimming.living_module import LivingModule, living_module, thins_norms
from pruning_core.slimming.own_module import slim_module
from pruning_core.slimming.rewrite import slim_graph
from pruning_core.slimming.slim import TOLERANCE, Slimmed, slim
from pruning_core.slimming.source import python_source

__all__ = [
    "TOLERANCE",
    "Counts",
    "LivingModule",
    "Slimmed",
    "counts_of",
    "living_graph",
    "living_module",
    "python_source",
    "slim",
    "slim_graph",
    "slim_module",
    "slimmed_counts",
    "thins_norms",
]
