"""The table of rewrites: what the call of an operator needs when channels of its values are gone."""

from collections.abc import Callable

from pruning_core.slimming.sites import Site

REWRITES: dict[str, Callable[[Site], None]] = {}


def rewrites(*operators: str) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Register the rewrite of `operators`, named as aten does, without overloads."""

    def register(function: Callable[[Site], None]) -> Callable[[Site], None]:
        REWRITES.update(dict.fromkeys(operators, function))
        return function

    return register
