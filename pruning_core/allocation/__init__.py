"""SEAM allocations: how one wish for the whole model is split over its layers. One file per family.

A member is a function `(problem, *, settings) -> Allocation`. Adding one: write the function in a family's file,
decorate it with `@allocation(...)`; a new file needs a word below. Drops are fractions of accuracy, positive where
accuracy is lost.
"""

from importlib import import_module

from pruning_core.allocation.seam import ALLOCATIONS, Allocation, Allocator, Problem, allocate, allocation
from pruning_core.allocation.text import Budget, parse_budget

FAMILIES = ("uniform", "together", "erdos_renyi", "sensitivity", "budget")  # in the order of menus

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # registers its members

from pruning_core.allocation.budget import within  # noqa: E402  (members are registered in the order of menus)
from pruning_core.allocation.comparison import Comparison, compare_allocations  # noqa: E402
from pruning_core.allocation.costs import COSTS  # noqa: E402

__all__ = [
    "ALLOCATIONS",
    "COSTS",
    "FAMILIES",
    "Allocation",
    "Allocator",
    "Budget",
    "Comparison",
    "Problem",
    "allocate",
    "allocation",
    "compare_allocations",
    "parse_budget",
    "within",
]
