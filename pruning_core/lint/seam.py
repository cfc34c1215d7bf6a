"""What a lint rule reads and finds, and the registry that all of them stand in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from pruning_core.apply import masks_for
from pruning_core.coupling.units import Units
from pruning_core.layers import Layer
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking, refuses
from pruning_core.registry import Registry

Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Finding:
    """One thing to look at: what it is, with the numbers; what to do; and the changes that do it."""

    rule: str
    layer: str
    sentence: str
    fix: str
    changes: Mapping[str, dict[str, Any]] | None = None  # layer -> fields; a coupled row changes as a whole


@dataclass(frozen=True, eq=False)
class Case:
    """What a rule reads: only layers that the plan asks to prune; those that cannot be are left to `does_not_fit`."""

    model: Model
    plan: Plan
    ranking: Ranking

    @cached_property
    def refusals(self) -> dict[str, str]:
        """Wishes that cannot be met, those at sparsity 0 included, and why."""
        wishes = {name: wish for name, wish in self.plan.layers.items() if name in self.model.graph.by_name}
        found = {name: refuses(self.ranking, name, wish) for name, wish in wishes.items()}
        return {name: why for name, why in found.items() if why}

    @cached_property
    def wishes(self) -> dict[str, LayerPlan]:
        """Wishes that remove something and can be met, in the model's order."""
        asked = {n: self.plan.layers[n] for n in self.model.graph.by_name if n in self.plan.layers}
        return {name: wish for name, wish in asked.items() if wish.sparsity > 0 and name not in self.refusals}

    @cached_property
    def units(self) -> dict[str, Units]:
        """The coupled units of each structural wish."""
        found = {name: self.ranking.units(name, wish) for name, wish in self.wishes.items()}
        return {name: units for name, units in found.items() if units is not None}

    @cached_property
    def conflicts(self) -> dict[str, str]:
        """Layers whose coupled channels are asked for in another way by a layer before them, and by which."""
        owner: dict[int, str] = {}
        found = {}
        for name, units in self.units.items():
            for group in units.groups.tolist():
                other = owner.setdefault(group, name)
                if other != name and how(self.wishes[name]) != how(self.wishes[other]):
                    found[name] = other
        return found

    @cached_property
    def masks(self) -> dict[str, Tensor]:
        """Masks (out, in, *kernel) by layer, of all wishes that do not conflict."""
        layers = {name: wish for name, wish in self.wishes.items() if name not in self.conflicts}
        plan = self.plan.model_copy(update={"layers": layers})
        found = masks_for(self.model, plan, ranking=self.ranking) if layers else {}
        return {name: mask for name, mask in found.items() if name in self.model.graph.by_name}

    def with_sparsity(self, name: str, sparsity: float) -> Changes:
        """Return the changes that give layer `name`, and what the plan names of its coupled row, this sparsity."""
        members = self.units[name].members if name in self.units else ()
        return {member: {"sparsity": sparsity} for member in (name, *members) if member in self.wishes}

    def layer(self, name: str) -> Layer:
        """Return a layer of the model."""
        return self.model.graph.layer(name)

    def share(self, name: str) -> float:
        """Return the share of all prunable weights that a layer holds."""
        return self.layer(name).n_weights / sum(layer.n_weights for layer in self.model.graph.layers)

    def sparsity(self, name: str) -> float:
        """Return the measured sparsity of a layer."""
        return 1 - float(self.masks[name].double().mean()) if name in self.masks else 0.0


def how(wish: LayerPlan) -> dict[str, Any]:
    """Return what a wish asks for, without its lock."""
    return wish.model_dump(exclude={"locked"})


Rule = Callable[[Case], Iterable[Finding]]
RULES: Registry[Rule] = Registry("lint rule")


def lint_rule(name: str) -> Callable[[Rule], Rule]:
    """Add a rule to the seam."""
    return lambda function: RULES.add(name, function)
