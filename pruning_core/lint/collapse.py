"""The rule about layers that let little or nothing through."""

from collections.abc import Iterator
from math import floor, prod

from torch import Tensor

from pruning_core.coupling.units import Units
from pruning_core.lint.seam import Case, Finding, lint_rule
from pruning_core.plan import LayerPlan

STEP = 1000  # suggested sparsities are multiples of 1 / STEP
FEW = 0.05  # share of outputs without a weight that is not worth a word: some were nearly zero before
MOST_INPUTS = 0.5  # share of inputs that nothing reads


@lint_rule("collapse")
def collapse(case: Case) -> Iterator[Finding]:
    """Outputs without a weight are constant, and past a point some must be; inputs that nothing reads go unseen."""
    for name, wish in case.wishes.items():
        if name not in case.masks or name in case.units:
            continue
        mask = case.masks[name]
        n_outputs, empty, kept = len(mask), _n_empty(mask), int(mask.sum())
        if empty > FEW * n_outputs and not _whole_outputs(case, name, wish):
            must = f" ({kept:,} weights cannot reach all)" if kept < n_outputs else ""
            level = _largest_without(case, name, wish)
            yield Finding(
                "collapse",
                name,
                f"{empty} of its {n_outputs} outputs keep no weight{must}, so what comes out of them is constant",
                f"a sparsity of at most {level:g} leaves a weight to {1 - FEW:.0%} of them"
                if level
                else "leave it dense",
                case.with_sparsity(name, level),
            )
        n_inputs, unread = mask.shape[1], _n_empty(mask.transpose(0, 1))
        if unread > MOST_INPUTS * n_inputs and not _whole_inputs(case, name, wish):
            yield Finding(
                "collapse", name, f"{unread} of its {n_inputs} inputs are read by no output", "a lower sparsity"
            )


def _n_empty(mask: Tensor) -> int:
    """Return how many slices along the first dimension keep nothing."""
    return int((~mask.flatten(1).any(1)).sum())


def _whole_outputs(case: Case, name: str, wish: LayerPlan) -> bool:
    """Return whether the wish removes whole outputs on purpose."""
    layout = case.ranking.layout(name, wish)
    return not isinstance(layout, Units) and layout.block_size >= prod(case.layer(name).weight_shape[1:])


def _whole_inputs(case: Case, name: str, wish: LayerPlan) -> bool:
    """Return whether the wish removes whole inputs on purpose."""
    layout, outputs = case.ranking.layout(name, wish), case.layer(name).weight_shape[0]
    return not isinstance(layout, Units) and layout.view[0] == outputs == layout.block[0]


def _largest_without(case: Case, name: str, wish: LayerPlan) -> float:
    """Return the largest possible sparsity up to the wish at which few outputs are empty; 0 where none is."""
    steps = case.ranking.layout(name, wish).steps
    levels = list(steps) if steps else [i / STEP for i in range(floor(wish.sparsity * STEP) + 1)]
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high + 1) // 2
        mask = case.ranking.mask(name, wish.model_copy(update={"sparsity": levels[middle]}))
        low, high = (middle, high) if _n_empty(mask) <= FEW * len(mask) else (low, middle - 1)
    return levels[low]
