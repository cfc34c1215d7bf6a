"""Rules about where in the model a layer stands."""

from collections.abc import Iterator
from math import prod

from pruning_core.lint.seam import Case, Changes, Finding, lint_rule

SMALL = 0.05  # share of the model's weights below which a first layer has little to give
HARD = 0.5  # sparsity of a first or depthwise layer from which on it counts as hard


@lint_rule("first_layer")
def first_layer(case: Case) -> Iterator[Finding]:
    """A small first layer has little to give, and what it drops no later layer sees."""
    first = case.model.graph.layers[0].name if case.model.graph.layers else ""
    if first in case.wishes and case.sparsity(first) > HARD and (share := case.share(first)) < SMALL:
        yield Finding(
            "first_layer",
            first,
            f"the first layer loses {case.sparsity(first):.1%} of its {case.layer(first).n_weights:,} weights, only "
            f"{share:.2%} of the model's, and no later layer sees what it drops",
            f"a sparsity of at most {HARD:g}",
            _at_most(case, first, HARD),
        )


@lint_rule("last_layer")
def last_layer(case: Case) -> Iterator[Finding]:
    """The last layer gives the answers; it is usually small and kept."""
    last = case.model.graph.layers[-1].name if case.model.graph.layers else ""
    if last in case.wishes and case.sparsity(last) > 0:
        yield Finding(
            "last_layer",
            last,
            f"the last layer, which gives the answers, loses {case.sparsity(last):.1%} of its weights; it holds "
            f"{case.share(last):.2%} of the model's",
            "leave it dense",
            case.with_sparsity(last, 0.0),
        )


@lint_rule("depthwise")
def depthwise(case: Case) -> Iterator[Finding]:
    """A depthwise layer has one small kernel for each channel: single zeros in it save nothing, many end a channel."""
    for name, wish in case.wishes.items():
        layer, sparsity = case.layer(name), case.sparsity(name)
        if layer.groups == 1 or layer.weight_shape[1] != 1 or (name in case.units and sparsity <= HARD):
            continue
        if sparsity > HARD or wish.granularity == "fine_grained":
            each = prod(layer.weight_shape[1:])
            yield Finding(
                "depthwise",
                name,
                f"a depthwise layer with {each} weights for each of its {layer.weight_shape[0]} channels loses "
                f"{sparsity:.1%} of them by {wish.granularity}; it holds {layer.n_weights:,} weights in all",
                "leave it dense, or let its channels go with those of the layer before it",
                case.with_sparsity(name, 0.0),
            )


def _at_most(case: Case, name: str, most: float) -> Changes:
    """Return the change to the largest possible sparsity that is at most `most`."""
    steps = case.ranking.layout(name, case.wishes[name]).steps
    level = max((step for step in steps if step <= most), default=0.0) if steps else most
    return case.with_sparsity(name, level)
