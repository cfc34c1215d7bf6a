"""From shares to a plan: what allocations have in common that compute a sparsity for each free layer."""

from collections.abc import Mapping

from pruning_core.allocation.seam import Allocation, Problem
from pruning_core.errors import PlanError
from pruning_core.plan import LayerPlan


def n_blocks(problem: Problem, name: str) -> int:
    """Return the blocks of layer `name` that compete with each other."""
    return problem.ranking.layout(name, problem.wish_at(0.0, name)).blocks_per_arena


def allocation_of(problem: Problem, removed: Mapping[str, int]) -> Allocation:
    """Return the plan in which each free layer loses so many of its blocks, at most all but one."""
    wishes: dict[str, LayerPlan] = {}
    why_dense = dict(problem.misfits)
    for name, count in removed.items():
        n = n_blocks(problem, name)
        if (count := min(count, n - 1)) > 0:
            wishes[name] = problem.wish_at(count / n, name)
        else:
            why_dense[name] = f"{name}: its share is less than one of its {n} blocks"
    return Allocation(problem.planned(wishes), why_dense)


def check_free_sparsity(allocation: str, problem: Problem) -> None:
    """Refuse a granularity that knows only some sparsities."""
    for name in problem.free:
        wish = problem.wish_at(0.0, name)
        if steps := problem.ranking.layout(name, wish).steps:
            pattern = " or ".join(f"{step:g}" for step in steps)
            raise PlanError(
                f"{allocation} gives each layer a sparsity of its own, {wish.granularity} removes only {pattern}; "
                "uniform, sensitivity and budget work with it"
            )


def check_no_bounds(allocation: str, problem: Problem) -> None:
    """Refuse least and largest sparsities where the rule of an allocation leaves no room for them."""
    if problem.minimum or problem.maximum:
        name = next(iter((*problem.minimum, *problem.maximum)))
        raise PlanError(
            f"{name}: {allocation} follows its rule alone; sensitivity and budget take a least or largest sparsity"
        )
