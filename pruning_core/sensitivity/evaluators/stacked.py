"""All levels of a layer in one walk, stacked by `torch.func.vmap`: for accelerators, where starting kernels costs most.

A route of 20 to 150 small kernels is run once instead of once for each level. On a processor the larger values leave
its cache, and one level after another is as fast or faster, so there it is not used.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from pruning_core.sensitivity.evaluators.seam import CannotRun
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values


def fork_levels(replay: Replay, frontier: Frontier, levels: Sequence[Values]) -> Tensor:
    """Return the outputs (levels, batch, ...) with the constants of each level changed.

    Levels that change different constants, and operators whose result depends on values, cannot be stacked.
    """
    places = tuple(levels[0])
    if any(tuple(changed) != places for changed in levels):
        raise CannotRun("the levels change different constants; run them one after another")
    route = replay.route(places)
    known = {**replay.constants, **replay.enter(frontier, route).values}

    def answer(*changed: Tensor) -> Tensor:
        return replay.follow(route, {**known, **dict(zip(places, changed, strict=True))})

    stacks = [torch.stack([changed[place] for changed in levels]) for place in places]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what has no rule for stacks runs level by level, which torch warns about
            outputs: Tensor = torch.func.vmap(answer)(*stacks)
    except torch.OutOfMemoryError:
        raise CannotRun("the levels of a layer do not fit the memory at once; run them one after another") from None
    except (RuntimeError, ValueError) as error:
        why = str(error).split("\n")[0]
        raise CannotRun(f"the levels cannot be stacked ({why}); run them one after another") from None
    return outputs
