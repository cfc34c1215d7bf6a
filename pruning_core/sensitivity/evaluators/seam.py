"""SEAM evaluators: how the part of the graph that a change touches is run on one chunk of examples.

Adding one: a file with a class under `@evaluator(name, label)`, imported in `__init__.py`. The exact members answer
alike but for rounding; which is fastest depends on model, layer and machine, and is measured (`choose`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from pruning_core.errors import PruningError
from pruning_core.registry import Registry
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.steps import Values


class CannotRun(PruningError):
    """This evaluator cannot run a route; `torch` can."""


class Evaluator(Protocol):
    """Runs forks of one `Replay`."""

    def fork(self, frontier: Frontier, changed: Values) -> Tensor:
        """Return the output (batch, ...) with the constants `changed`, as `Replay.fork_changed` does."""


@dataclass(frozen=True)
class EvaluatorKind:
    """One member of the seam."""

    name: str
    label: str
    make: Callable[[Replay], Evaluator]
    is_exact: bool  # answers as torch does but for rounding in 32 bits, so that it may be chosen


EVALUATORS: Registry[EvaluatorKind] = Registry("evaluator")
Made = TypeVar("Made", bound=Callable[[Replay], Evaluator])


def evaluator(name: str, label: str, is_exact: bool = True) -> Callable[[Made], Made]:
    """Register a class (or function) that makes an evaluator of a replay."""

    def add(make: Made) -> Made:
        EVALUATORS.add(name, EvaluatorKind(name, label, make, is_exact))
        return make

    return add
