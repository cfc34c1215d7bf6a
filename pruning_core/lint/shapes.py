"""Rules about what a wish does to the shape of a layer."""

from collections.abc import Iterator
from math import ceil

from pruning_core.apply import rows_of
from pruning_core.lint.seam import Case, Finding, how, lint_rule
from pruning_core.plan import LayerPlan

MULTIPLE = 8  # channels that vector units and tensor cores take at a time


@lint_rule("does_not_fit")
def does_not_fit(case: Case) -> Iterator[Finding]:
    """Wishes that cannot be met: an N:M that does not divide the inputs, a block that does not tile, nothing left."""
    for name, why in case.refusals.items():
        sentence, _, fix = why.removeprefix(f"{name}: ").partition("; ")
        yield Finding("does_not_fit", name, sentence, fix or "leave it dense", {name: how(LayerPlan())})


@lint_rule("channel_multiple")
def channel_multiple(case: Case) -> Iterator[Finding]:
    """Channels off a multiple of 8 run as slowly as the next multiple on most hardware."""
    for name in rows_of(case.wishes, case.ranking):
        if (units := case.units.get(name)) is None or name in case.conflicts:
            continue
        outputs = case.layer(name).weight_shape[0]
        removed = units.blocks_per_arena - case.ranking.n_keep(name, case.wishes[name])
        kept = outputs - removed
        if units.structure != "output" or outputs % MULTIPLE or not kept % MULTIPLE or not removed:
            continue
        rounded = ceil(kept / MULTIPLE) * MULTIPLE
        sparsity = (outputs - rounded) / units.blocks_per_arena
        yield Finding(
            "channel_multiple",
            name,
            f"{kept} of its {outputs} channels stay, no multiple of {MULTIPLE}, and are likely to run no faster than "
            f"{rounded}",
            f"a sparsity of {sparsity:.4g} keeps {rounded}",
            case.with_sparsity(name, sparsity),
        )


@lint_rule("stays_dense")
def stays_dense(case: Case) -> Iterator[Finding]:
    """A sparsity below one block removes nothing."""
    for name, wish in case.wishes.items():
        layout = case.ranking.layout(name, wish)
        n = layout.blocks_per_arena
        if name not in case.conflicts and case.plan.scope == "layer" and case.ranking.n_keep(name, wish) == n:
            yield Finding(
                "stays_dense",
                name,
                f"sparsity {wish.sparsity:g} is less than one of its {n} blocks, so it stays dense",
                f"{1 / n:.4g} removes one",
                case.with_sparsity(name, 1 / n),
            )
