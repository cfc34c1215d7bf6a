"""Uniform: every layer alike."""

from typing import Annotated

from pruning_core.allocation.seam import Allocation, Problem, allocation
from pruning_core.allocation.shares import check_no_bounds
from pruning_core.apply import uniform_plan
from pruning_core.registry import Setting


@allocation("uniform", label="Uniform")
def uniform(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """The same sparsity for every layer that it fits (the baseline in Blalock et al. 2020, arXiv:2003.03033)."""
    check_no_bounds("uniform", problem)
    ways = {name: problem.wish_at(sparsity, name) for name in problem.ways}
    plan, why_dense = uniform_plan(problem.model, problem.wish_at(sparsity), problem.scope, problem.ranking, ways)
    wishes = {n: wish for n, wish in plan.layers.items() if not problem.held.keys() & {n, *problem.members(n)}}
    coupled = {name: problem.misfits[name] for name in plan.layers if name not in wishes and name not in problem.held}
    why_dense = {name: why for name, why in (why_dense | coupled).items() if name not in problem.held}
    if problem.scope == "layer":
        return Allocation(problem.planned(wishes), why_dense)
    # what is locked does not compete
    held = {name: wish.model_copy(update={"locked": True}) for name, wish in problem.held.items()}
    layers = {name: (held | wishes)[name] for name in problem.model.graph.by_name if name in held | wishes}
    return Allocation(plan.model_copy(update={"layers": layers}), why_dense)
