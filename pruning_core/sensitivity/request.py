"""Documents of a sweep that is asked for: `Request`, and `Progress` while it runs."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pruning_core.plan import Heads, LayerPlan
from pruning_core.sensitivity.cells import Cell

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Request:
    """What to sweep. `levels` are sparsities; a granularity with steps of its own (2:4) has only those.

    With `exact` every cell sees all examples; else it stops when its interval is narrow enough. `target` says what is
    set to zero: weights, or the smallest activations of a layer's output, example by example.
    """

    granularity: str = "fine_grained"
    criterion: str = "l1"
    levels: tuple[float, ...] = DEFAULT_LEVELS
    samples: int | None = None
    layers: tuple[str, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    channel_multiple: int = 1  # the options of a plan
    through_norms: bool = False
    heads: Heads = "head"
    exact: bool = False
    target: Literal["weights", "activations"] = "weights"

    def wish(self, sparsity: float) -> LayerPlan:
        """Return the wish of one cell."""
        return LayerPlan(
            sparsity=sparsity, granularity=self.granularity, criterion=self.criterion, settings=self.settings
        )


@dataclass(frozen=True)
class Progress:
    """One step of a sweep: the cell that was refined, and how far the whole is (shares of the work, not of cells).

    What an anytime sweep still has to do is not known before its end, so `share` is an estimate there.
    """

    cell: Cell
    share: float
    seconds: float  # since measuring began
    cells_done: int
    cells_total: int
    recalled: float = 0.0  # share of the work that was known before

    @property
    def seconds_left(self) -> float:
        """Time left at the pace so far."""
        return self.seconds * (1 - self.share) / max(1e-6, self.share - self.recalled)
