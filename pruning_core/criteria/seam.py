"""What a criterion is, what it may read of a layer, and the registry that all of them stand in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from pruning_core import masks
from pruning_core.errors import CriterionError
from pruning_core.granularities import GRANULARITIES, Layout
from pruning_core.graph import ModelGraph
from pruning_core.registry import Registry, SettingSpec, check_settings, settings_of

_INPUTS = "the layer's inputs on calibration data"
_ACTIVATIONS = "the layer's activations on calibration data"
_GRADIENTS = "gradients of the loss on calibration data with targets"

# What a criterion may ask for by name, and what each needs, as it stands in a refusal.
STATISTICS: dict[str, str] = {
    "input_norm": _INPUTS,
    "inputs_gram": _INPUTS,
    "gradient": _GRADIENTS,
    "gradient_magnitude": _GRADIENTS,
    "gradient_square": _GRADIENTS,
    "first_gradient": _GRADIENTS,
    "activation_gradient": _GRADIENTS,
    "activation_zeros": _ACTIVATIONS,
    "activation_mean": _ACTIVATIONS,
    "output_mean": _ACTIVATIONS,
    "output_covariance": _ACTIVATIONS,
    "ablation": "the loss on calibration data with targets",
    "bn_scale": "a batch norm after the layer",
}
WITHOUT_DATA = frozenset({"bn_scale"})
WITH_TARGETS = frozenset({"ablation", *(name for name, need in STATISTICS.items() if need == _GRADIENTS)})
ONE_LAYER_AT_A_TIME = frozenset({"inputs_gram", "ablation"})  # too large or too slow to collect for a whole model

Unit = Literal["weight", "output", "input"]


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What was seen of one layer; what was not asked for, or has no meaning for the layer, is None."""

    layer: str = ""  # its name; `random` draws other noise for each
    input_norm: Tensor | None = None  # (1 or out, in, *kernel): L2 norm over all examples and positions
    inputs_gram: Tensor | None = None  # (groups, d, d) float64, d = in * kernel: sum of x x^T over positions / examples
    gradient: Tensor | None = None  # (out, in, *kernel): of the mean loss over all examples
    gradient_magnitude: Tensor | None = None  # (out, in, *kernel): mean over batches of |gradient of the batch's loss|
    gradient_square: Tensor | None = None  # (out, in, *kernel): mean over single examples of gradient^2
    first_gradient: Tensor | None = None  # (out, in, *kernel): of the mean loss of the first batch
    activation_gradient: Tensor | None = None  # (out,): mean over examples of |mean over positions of a dL/da|
    activation_zeros: Tensor | None = None  # (out,): share of exact zeros after norm and nonlinearity
    activation_mean: Tensor | None = None  # (out,): mean magnitude after norm and nonlinearity
    output_mean: Tensor | None = None  # (out,) float64: mean after norm and nonlinearity, signed
    output_covariance: Tensor | None = None  # (out, out) float64: over examples and positions, after nonlinearity
    ablation: Tensor | None = None  # (out,): increase of the mean loss when this output alone is zero
    bn_scale: Tensor | None = None  # (out,): gamma of the batch norm that follows
    n: int = 0  # examples seen
    why_not: Mapping[str, str] = field(default_factory=dict)  # statistic -> why this layer has none

    def known(self, name: str) -> Tensor:
        """Return the statistic `name`, or refuse in a sentence when there is none."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise CriterionError(f"{name} {self.lack(name)}")
        return value

    def lack(self, name: str) -> str:
        """Return the end of a sentence: what the statistic `name` needs, or why this layer cannot have it."""
        return self.why_not.get(name, f"needs {STATISTICS[name]}")

    @property
    def dead_channels(self) -> Tensor:
        """Numbers of the output channels that were zero for every example, int64 (n_dead,)."""
        return torch.nonzero(self.known("activation_zeros") == 1).flatten()


@dataclass(frozen=True, eq=False)
class Refit:
    """What a criterion is told that changes the surviving weights once the mask is known."""

    graph: ModelGraph
    name: str  # the layer of the wish
    masks: Mapping[str, Tensor]  # of this wish, True = kept: layer -> (out, in, *kernel), or dotted parameter -> stored
    statistics: Callable[[frozenset[str]], Mapping[str, LayerStatistics]]  # of all layers
    rows: Mapping[str, Tensor] = field(default_factory=dict)  # layer -> (out,) unit of each output, -1 none
    columns: Mapping[str, Tensor] = field(default_factory=dict)  # layer -> (in,) unit of each input, -1 none
    settings: Mapping[str, Any] = field(default_factory=dict)  # the criterion's own


Update = Callable[[Refit], dict[str, Tensor]]  # mask key -> new values, before masking
UnitOf = Mapping[str, Tensor]  # layer -> unit of each output or input, -1 none
WhyNotUpdate = Callable[[ModelGraph, str, UnitOf, UnitOf], str | None]  # (graph, layer of the wish, rows, columns)


@dataclass(frozen=True)
class Criterion:
    """One member of the seam."""

    name: str
    label: str
    function: Callable[..., Tensor]
    needs: frozenset[str] = frozenset()  # names in STATISTICS
    finish: Callable[[Tensor], Tensor] | None = None  # applied to the sums of the blocks
    settings: dict[str, SettingSpec] = field(default_factory=dict)
    unit: Unit = "weight"  # the smallest part of a layer that its scores tell apart
    update: Update | None = None  # how the surviving weights change
    why_not_update: WhyNotUpdate | None = None  # why they cannot, told from the graph alone

    @property
    def doc(self) -> str:
        """The first line of the member's docstring: the formula and its source."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    @property
    def requirements(self) -> tuple[str, ...]:
        """What it needs, in words for a menu; nothing where the weight is enough."""
        return tuple(dict.fromkeys(STATISTICS[name] for name in sorted(self.needs)))

    def score(self, weight: Tensor, stats: LayerStatistics, **settings: Any) -> Tensor:
        """Return scores of the shape of `weight` (out, in, *kernel), before `finish`; larger = keep."""
        for name in sorted(self.needs):
            if getattr(stats, name) is None:
                raise CriterionError(f"{self.name} {stats.lack(name)}; l1 works everywhere")
        weight = weight.detach()
        if not weight.numel():
            return torch.zeros_like(weight)
        exact = weight.float() if weight.element_size() < 4 else weight  # sums of float16 would overflow
        return self.function(exact, stats, **check_settings(self.settings, settings))

    def block_scores(self, weight: Tensor, stats: LayerStatistics, layout: Layout, **settings: Any) -> Tensor:
        """Return one score for each block, (arenas, blocks per arena); larger = keep."""
        sums = masks.pool(self.score(weight, stats, **settings), layout)
        return self.finish(sums) if self.finish else sums


CRITERIA: Registry[Criterion] = Registry("criterion")
CriterionFunction = Callable[..., Tensor]


def criterion(
    name: str,
    *,
    label: str,
    needs: frozenset[str] = frozenset(),
    finish: Callable[[Tensor], Tensor] | None = None,
    unit: Unit = "weight",
    update: Update | None = None,
    why_not_update: WhyNotUpdate | None = None,
) -> Callable[[CriterionFunction], CriterionFunction]:
    """Add a scoring function to the seam; `needs` are names in STATISTICS."""
    if unknown := needs - STATISTICS.keys():
        raise ValueError(f"criterion '{name}' needs unknown statistics: {', '.join(sorted(unknown))}")

    def add(function: CriterionFunction) -> CriterionFunction:
        member = Criterion(name, label, function, needs, finish, settings_of(function), unit, update, why_not_update)
        CRITERIA.add(name, member)
        return function

    return add


def over_outputs(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values` (out,), one for each output channel, in the shape of `weight` (out, in, *kernel)."""
    return values.reshape(-1, *(1,) * (weight.dim() - 1)).expand_as(weight)


def over_inputs(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values` (groups, in), one for each input channel of a group, in the shape of `weight` (out, in, ...)."""
    rows = values.repeat_interleave(weight.shape[0] // len(values), dim=0)  # (out, in)
    return rows.reshape(*rows.shape, *(1,) * (weight.dim() - 2)).expand_as(weight)


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
