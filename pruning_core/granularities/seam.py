"""What a granularity is: how a weight is cut into blocks and arenas, and the registry that all of them stand in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from pruning_core.errors import GranularityError
from pruning_core.registry import Registry, SettingSpec, settings_of

Shape = tuple[int, ...]
Structure = Literal["output", "input", "head", "branch"]
Allowed = Callable[[Sequence[Tensor]], Tensor]
Choose = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Layout:
    """How one weight is cut: permute to `order`, reshape to `view`, then blocks inside arenas (None: the layer).

    Where only some shapes may stay of an arena, `allowed` finds them in the weights of all layers of the model with the
    same kernel shape, once for a model; `choose` takes the scores (out, in, *kernel) and these shapes, and returns
    scores whose largest in each arena form one of them.
    """

    weight_shape: Shape
    order: Shape
    view: Shape
    block: Shape
    arena: Shape | None = None
    steps: tuple[float, ...] | None = None  # the only sparsities that make sense; None: any
    allowed: Allowed | None = field(default=None, compare=False)
    choose: Choose | None = field(default=None, compare=False)

    @property
    def grid(self) -> Shape:
        """Blocks along each axis of the view."""
        return tuple(size // block for size, block in zip(self.view, self.block, strict=True))

    @property
    def block_size(self) -> int:
        """Weights in one block."""
        return prod(self.block)

    @property
    def blocks_per_arena(self) -> int:
        """Blocks that compete with each other."""
        return prod(self.arena or self.view) // self.block_size

    @property
    def block_sizes(self) -> Tensor:
        """Weights in each block of an arena, int64 (blocks per arena,)."""
        return torch.full((self.blocks_per_arena,), self.block_size)

    @property
    def weights_per_score(self) -> float:
        """Weights whose scores a block's score sums."""
        return self.block_size

    @property
    def n_arenas(self) -> int:
        """Arenas in the weight."""
        return prod(self.grid) // self.blocks_per_arena


LayoutFunction = Callable[..., Layout | None]


@dataclass(frozen=True)
class Granularity:
    """One member of the seam; with a `structure` its units come from the coupled layers, not from a weight alone."""

    name: str
    label: str
    function: LayoutFunction
    presets: tuple[dict[str, Any], ...] = ({},)
    settings: dict[str, SettingSpec] = field(default_factory=dict)
    structure: Structure | None = None

    @property
    def doc(self) -> str:
        """The first sentence of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def layout(self, shape: Shape, **settings: Any) -> Layout:
        """Return how a weight (out, in, *kernel) of this shape is cut; one that it does not fit is refused."""
        layout = self.function(shape, **settings)
        if layout is None:
            raise GranularityError(
                f"the units of {self.name} come from the coupled layers, not from one weight's shape"
            )
        return layout

    def label_of(self, **settings: Any) -> str:
        """Return the label with these settings in it: `2:4`, `Block 4×4`."""
        defaults = {name: spec.default for name, spec in self.settings.items()}
        return self.label.format(**defaults | settings)


GRANULARITIES: Registry[Granularity] = Registry("granularity")


def granularity(
    name: str, *, label: str, presets: tuple[dict[str, Any], ...] = ({},), structure: Structure | None = None
) -> Callable[[LayoutFunction], LayoutFunction]:
    """Add a layout function to the seam; `presets` are the settings that menus offer.

    With a `structure` the function returns None: it only says what the member is and which settings it takes.
    """

    def add(function: LayoutFunction) -> LayoutFunction:
        GRANULARITIES.add(name, Granularity(name, label, function, presets, settings_of(function), structure))
        return function

    return add


def plain(shape: Shape, block: Shape) -> Layout:
    """Return the layout whose blocks tile the weight as it is and all compete."""
    return Layout(shape, tuple(range(len(shape))), shape, block)
