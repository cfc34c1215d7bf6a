"""SEAM criteria: how much a weight matters. One file per family; larger score = keep.

A member is a pure function `(weight (out, in, *kernel), stats, *, settings) -> scores` of the same shape.
Adding one: write the function in a family's file, decorate it with `@criterion(...)`; a new file needs a word below.
"""

from importlib import import_module

from pruning_core.criteria.seam import CRITERIA, STATISTICS, Criterion, LayerStatistics, criterion, split_settings

__all__ = ["CRITERIA", "FAMILIES", "STATISTICS", "Criterion", "LayerStatistics", "criterion", "split_settings"]

FAMILIES = ("magnitude", "gradient", "normalisation", "activation")  # in the order of menus

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # registers its members
