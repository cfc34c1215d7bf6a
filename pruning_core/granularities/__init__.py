"""SEAM granularities: what lives or dies together (the block) and where blocks compete (the arena).

A granularity is a function `(weight shape, *, settings) -> Layout`; a shape it does not fit is refused by name.
Adding one: write the function in a family's file, decorate it with `@granularity(...)`; a new file needs a word below.
"""

from importlib import import_module

from pruning_core.granularities.seam import (
    GRANULARITIES,
    Allowed,
    Granularity,
    Layout,
    Shape,
    Structure,
    granularity,
)

__all__ = ["FAMILIES", "GRANULARITIES", "Allowed", "Granularity", "Layout", "Shape", "Structure", "granularity"]

FAMILIES = ("tiles", "n_of_m", "patterns", "structures")  # in the order of menus

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # registers its members
