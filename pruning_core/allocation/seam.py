"""What an allocation answers, and the registry that all of them stand in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pruning_core.allocation.curves import Curve
from pruning_core.allocation.problem import Problem
from pruning_core.intervals import Interval
from pruning_core.metrics import Measurement
from pruning_core.plan import Plan
from pruning_core.registry import Registry, SettingSpec, check_settings, settings_of

__all__ = ["ALLOCATIONS", "Allocation", "Allocator", "Problem", "allocate", "allocation"]


@dataclass(frozen=True)
class Allocation:
    """A plan, why each layer without a share stays dense, and what the plan was predicted and measured to cost."""

    plan: Plan
    why_dense: dict[str, str]
    predicted_drop: float | None = None  # sum of the single layers' fitted drops
    measured_drop: Measurement | None = None  # all layers together, on the validation split
    predicted_interval: Interval | None = None  # of `predicted_drop`, as if its layers erred independently
    curves: tuple[Curve, ...] = ()  # what it was chosen on: raw cells and the fit beside them


AllocationFunction = Callable[..., Allocation]


@dataclass(frozen=True)
class Allocator:
    """One member of the seam; calling it allocates."""

    name: str
    label: str
    function: AllocationFunction
    settings: dict[str, SettingSpec] = field(default_factory=dict)
    by_sparsity: Callable[[Problem, float], Allocation] | None = None  # None: it takes a sparsity itself

    @property
    def doc(self) -> str:
        """The first line of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def __call__(self, problem: Problem, **settings: Any) -> Allocation:
        """Split the wish over the layers, with checked settings."""
        return self.function(problem, **check_settings(self.settings, settings))

    def at(self, problem: Problem, sparsity: float) -> Allocation:
        """Allocate so that the free layers together lose this fraction of their weights."""
        return self.by_sparsity(problem, sparsity) if self.by_sparsity else self(problem, sparsity=sparsity)


ALLOCATIONS: Registry[Allocator] = Registry("allocation")


def allocation(
    name: str, label: str, by_sparsity: Callable[[Problem, float], Allocation] | None = None
) -> Callable[[AllocationFunction], AllocationFunction]:
    """Add an allocation to the seam; one without a setting `sparsity` says how it meets an overall sparsity."""

    def add(function: AllocationFunction) -> AllocationFunction:
        ALLOCATIONS.add(name, Allocator(name, label, function, settings_of(function), by_sparsity))
        return function

    return add


def allocate(name: str, problem: Problem, **settings: Any) -> Allocation:
    """Split the wish of `problem` over its layers by the allocation called `name`."""
    return ALLOCATIONS[name](problem, **settings)
