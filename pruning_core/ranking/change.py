"""`Change`: what a wish does to the model."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Change:
    """New `values` take their places, then the masks, both by layer or parameter.

    `removed` are the coupled groups that are masked wholly, and so can be taken out of the model.
    """

    masks: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
