"""Rules about what a wish does to the shape of a layer."""

from collections.abc import Iterator
from math import ceil

from pruning_core.apply import rows_of
from pruning_core.lint.seam import Case, Finding, how, lint_rule
from pruning_core.plan import LayerPlan
from pruning_core.ranking import kept_whole

MULTIPLE = 8  # channels that vector units and tensor cores take at a time


@lint_rule("does_not_fit")
def does_not_fit(case: Case) -> Iterator[Finding]:
    """Wishes that cannot be met: an N:M that does not divide the inputs, a block that does not tile, nothing left."""
    for name, why in case.refusals.items():
        sentence, _, fix = why.removeprefix(f"{name}: ").partition("; ")
        yield Finding("does_not_fit", name, sentence, fix or "leave it dense", {name: how(LayerPlan())})


@lint_rule("channel_multiple")
def channel_multiple(case: Case) -> Iterator[Finding]:
    """Channels off a multiple (of 8, if the plan has none) run as slowly as the next multiple on most hardware."""
    multiple = case.plan.channel_multiple if case.plan.channel_multiple > 1 else MULTIPLE
    for name in rows_of(case.wishes, case.ranking):
        units = case.units.get(name)
        widths = case.ranking.widths(name, case.wishes[name])
        if units is None or name in case.conflicts or units.structure != "output" or not (widths and widths.are_alike):
            continue
        outputs, n = case.layer(name).weight_shape[0], units.blocks_per_arena
        per_unit = int((units.rows[name] == 0).sum())  # channels that one unit stands for
        kept = outputs - (n - case.ranking.n_keep(name, case.wishes[name])) * per_unit
        if outputs % multiple or not kept % multiple:
            continue
        rounded = ceil(kept / multiple) * multiple
        sparsity = (outputs - rounded) / (n * per_unit)
        yield Finding(
            "channel_multiple",
            name,
            f"{kept} of its {outputs} channels stay, no multiple of {multiple}, and are likely to run no faster than "
            f"{rounded}",
            f"a sparsity of {sparsity:.4g} keeps {rounded}; the plan's channel_multiple rounds all rows",
            case.with_sparsity(name, sparsity),
        )


@lint_rule("stays_dense")
def stays_dense(case: Case) -> Iterator[Finding]:
    """A sparsity below one block removes nothing, and so does one that rounding to a multiple of channels undoes."""
    for name, wish in case.wishes.items():
        why = None if name in case.conflicts or case.plan.scope != "layer" else kept_whole(case.ranking, name, wish)
        if why is None:
            continue
        n = case.ranking.layout(name, wish).blocks_per_arena
        if case.plan.channel_multiple > 1 and name in case.units:
            fix = "a higher sparsity or a smaller multiple removes some"
            yield Finding("stays_dense", name, f"{why}, so it stays dense", fix)
        else:
            changes = case.with_sparsity(name, 1 / n)
            yield Finding("stays_dense", name, f"{why}, so it stays dense", f"{1 / n:.4g} removes one", changes)
