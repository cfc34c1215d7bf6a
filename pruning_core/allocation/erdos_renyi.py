"""Erdős-Rényi densities: the larger a layer, the sparser; computed from shapes alone."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Annotated

from pruning_core.allocation.seam import Allocation, Problem, allocation
from pruning_core.allocation.shares import allocation_of, check_free_sparsity, check_no_bounds, n_blocks
from pruning_core.masks import n_removed
from pruning_core.registry import Setting

Shape = tuple[int, ...]


@allocation("erdos_renyi", label="Erdős-Rényi")
def erdos_renyi(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """Density in proportion to (n_in + n_out) / (n_in n_out) (Mocanu et al. 2018, arXiv:1707.04780)."""
    return _allocated("erdos_renyi", problem, sparsity, lambda shape: sum(shape[:2]) / prod(shape[:2]))


@allocation("erk", label="Erdős-Rényi-Kernel")
def erk(problem: Problem, *, sparsity: Annotated[float, Setting(0, 1, step=0.01)] = 0.5) -> Allocation:
    """Density in proportion to (n_in + n_out + w + h) / (n_in n_out w h) (Evci et al. 2020, arXiv:1911.11134)."""
    return _allocated("erk", problem, sparsity, lambda shape: sum(shape) / prod(shape))


def _allocated(name: str, problem: Problem, sparsity: float, proportion: Callable[[Shape], float]) -> Allocation:
    check_no_bounds(name, problem)
    check_free_sparsity(name, problem)
    shapes = {layer: problem.model.graph.layer(layer).weight_shape for layer in problem.free}
    proportions = {layer: proportion(shape) for layer, shape in shapes.items()}
    sizes = {layer: prod(shape) for layer, shape in shapes.items()}
    shares = densities(sizes, proportions, 1 - sparsity)
    return allocation_of(problem, {n: n_removed(1 - share, n_blocks(problem, n)) for n, share in shares.items()})


def densities(sizes: Mapping[str, int], proportions: Mapping[str, float], density: float) -> dict[str, float]:
    """Return the density of each layer: `scale * proportion`, 1 where that passes 1; together they keep `density`.

    As published: where the layer of the largest proportion would pass 1 it stays dense, and the scale is found anew
    from the others, until none passes.
    """
    dense: set[str] = set()
    while others := [name for name in sizes if name not in dense]:
        wanted = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        scale = wanted / sum(proportions[name] * sizes[name] for name in others)
        largest = max(proportions[name] for name in others)
        if scale * largest <= 1:
            return {name: 1.0 if name in dense else scale * proportions[name] for name in sizes}
        dense |= {name for name in others if proportions[name] == largest}
    return dict.fromkeys(sizes, 1.0)
