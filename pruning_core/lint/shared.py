"""Rules about what layers share: channels and tensors."""

from collections import defaultdict
from collections.abc import Iterator

from pruning_core.lint.seam import Case, Finding, how, lint_rule


@lint_rule("coupled_wishes")
def coupled_wishes(case: Case) -> Iterator[Finding]:
    """Channels that live or die together cannot follow two wishes, nor stay where only one layer is locked."""
    for name, other in case.conflicts.items():
        mine, theirs = case.wishes[name], case.wishes[other]
        yield Finding(
            "coupled_wishes",
            name,
            f"its channels are coupled with those of '{other}', but {mine.sparsity:g} by {mine.granularity} and "
            f"{mine.criterion} is asked for here, {theirs.sparsity:g} by {theirs.granularity} and {theirs.criterion} "
            "there",
            f"the wish of '{other}'",
            {name: how(theirs)},
        )
    for name, units in case.units.items():
        for member in units.members:
            held = case.plan.layer(member)
            if member != name and held.locked and held.sparsity == 0:
                yield Finding(
                    "coupled_wishes",
                    name,
                    f"its channels are coupled with those of '{member}', which is locked as dense and would lose "
                    f"{case.wishes[name].sparsity:.1%} of them all the same",
                    f"leave it dense, or unlock '{member}'",
                    case.with_sparsity(name, 0.0),
                )


@lint_rule("tied_weights")
def tied_weights(case: Case) -> Iterator[Finding]:
    """One tensor that several modules name loses its weights for all of them."""
    names = defaultdict(list)
    for name, parameter in case.model.module.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    aliases = {tied[0]: tied for tied in names.values() if len(tied) > 1}
    for name in case.wishes:
        tied = next((found for found in aliases.values() if case.layer(name).parameter in found), None)
        if tied:
            others = ", ".join(f"'{other}'" for other in tied if other != case.layer(name).parameter)
            yield Finding(
                "tied_weights",
                name,
                f"its weight is also {others}, which loses the same {case.sparsity(name):.1%}",
                "leave it dense unless both may lose them",
                case.with_sparsity(name, 0.0),
            )
