"""What a criterion is, what it may read of a layer, and the registry that all of them stand in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pruning_core import masks
from pruning_core.errors import CriterionError
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.registry import Registry, SettingSpec, check_settings, settings_of

# What a criterion may ask for by name, and what each needs, as it stands in a refusal.
STATISTICS: dict[str, str] = {
    "input_norm": "the layer's inputs on calibration data",
    "gradient": "gradients of the loss on calibration data with targets",
    "activation_zeros": "the layer's activations on calibration data",
    "activation_mean": "the layer's activations on calibration data",
    "bn_scale": "a batch norm after the layer",
}


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What was seen of one layer; what was not asked for, or has no meaning for the layer, is None."""

    input_norm: Tensor | None = None  # (1 or out, in, *kernel): L2 norm over all examples and positions
    gradient: Tensor | None = None  # (out, in, *kernel): of the mean loss over all examples
    activation_zeros: Tensor | None = None  # (out,): share of exact zeros after norm and nonlinearity
    activation_mean: Tensor | None = None  # (out,): mean magnitude after norm and nonlinearity
    bn_scale: Tensor | None = None  # (out,): gamma of the batch norm that follows
    n: int = 0  # examples seen

    def known(self, name: str) -> Tensor:
        """Return the statistic `name`, or refuse in a sentence when there is none."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise CriterionError(f"{name} needs {STATISTICS[name]}")
        return value

    @property
    def dead_channels(self) -> Tensor:
        """Numbers of the output channels that were zero for every example, int64 (n_dead,)."""
        return torch.nonzero(self.known("activation_zeros") == 1).flatten()


@dataclass(frozen=True)
class Criterion:
    """One member of the seam."""

    name: str
    label: str
    function: Callable[..., Tensor]
    needs: frozenset[str] = frozenset()  # names in STATISTICS
    finish: Callable[[Tensor], Tensor] | None = None  # applied to the sums of the blocks
    settings: dict[str, SettingSpec] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The first line of the member's docstring: the formula and its source."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def score(self, weight: Tensor, stats: LayerStatistics, **settings: Any) -> Tensor:
        """Return scores of the shape of `weight` (out, in, *kernel), before `finish`; larger = keep."""
        for name in sorted(self.needs):
            if getattr(stats, name) is None:
                raise CriterionError(f"{self.name} needs {STATISTICS[name]}; l1 works everywhere")
        weight = weight.detach()
        exact = weight.float() if weight.element_size() < 4 else weight  # sums of float16 would overflow
        return self.function(exact, stats, **check_settings(self.settings, settings))

    def block_scores(self, weight: Tensor, stats: LayerStatistics, layout: Layout, **settings: Any) -> Tensor:
        """Return one score for each block, (arenas, blocks per arena); larger = keep."""
        sums = masks.pool(self.score(weight, stats, **settings), layout)
        return self.finish(sums) if self.finish else sums


CRITERIA: Registry[Criterion] = Registry("criterion")
CriterionFunction = Callable[..., Tensor]


def criterion(
    name: str, *, label: str, needs: frozenset[str] = frozenset(), finish: Callable[[Tensor], Tensor] | None = None
) -> Callable[[CriterionFunction], CriterionFunction]:
    """Add a scoring function to the seam; `needs` are names in STATISTICS."""
    if unknown := needs - STATISTICS.keys():
        raise ValueError(f"criterion '{name}' needs unknown statistics: {', '.join(sorted(unknown))}")

    def add(function: CriterionFunction) -> CriterionFunction:
        CRITERIA.add(name, Criterion(name, label, function, needs, finish, settings_of(function)))
        return function

    return add


def over_outputs(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values` (out,), one for each output channel, in the shape of `weight` (out, in, *kernel)."""
    return values.reshape(-1, *(1,) * (weight.dim() - 1)).expand_as(weight)


def split_settings(
    granularity: str, criterion: str, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the checked settings of the granularity and of the criterion; a key that neither declares is refused."""
    ours, theirs = GRANULARITIES[granularity].settings, CRITERIA[criterion].settings
    checked = check_settings(ours | theirs, settings)
    return (
        {name: value for name, value in checked.items() if name in ours},
        {name: value for name, value in checked.items() if name in theirs},
    )
