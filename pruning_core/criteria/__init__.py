"""SEAM criteria: how much a weight matters. One file per family; larger score = keep.

A member is a pure function `(weight (out, in, *kernel), stats, *, settings) -> scores` of the same shape.
Adding one: write the function in a family's file, decorate it with `@criterion(...)`; a new file needs a word below.
"""

from importlib import import_module

from pruning_core.criteria.meaning import why_not_criterion
from pruning_core.criteria.seam import (
    CRITERIA,
    ONE_LAYER_AT_A_TIME,
    STATISTICS,
    WITH_TARGETS,
    WITHOUT_DATA,
    Criterion,
    LayerStatistics,
    Refit,
    criterion,
    split_settings,
)

__all__ = [
    "CRITERIA",
    "FAMILIES",
    "ONE_LAYER_AT_A_TIME",
    "STATISTICS",
    "WITHOUT_DATA",
    "WITH_TARGETS",
    "Criterion",
    "LayerStatistics",
    "Refit",
    "criterion",
    "split_settings",
    "why_not_criterion",
]

FAMILIES = (  # in the order of menus
    "magnitude",
    "gradient",
    "normalisation",
    "activation",
    "sparsegpt",
    "reconstruction",
    "similarity",
    "noiseout",
    "oracle",
    "lamp",
)

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # registers its members
