"""SEAM granularities: what lives or dies together (the block) and where blocks compete (the arena).

A granularity is a function `(weight shape, *, settings) -> Layout`; a shape it does not fit is refused by name.
Adding one: write the function, decorate it with `@granularity(...)`. Nothing else changes anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Any, Literal

from pruning_core.errors import GranularityError
from pruning_core.registry import Registry, Setting, SettingSpec, settings_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """How one weight is cut: permute to `order`, reshape to `view`, then blocks inside arenas (None: the layer)."""

    weight_shape: Shape
    order: Shape
    view: Shape
    block: Shape
    arena: Shape | None = None
    steps: tuple[float, ...] | None = None  # the only sparsities that make sense; None: any

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
    def n_arenas(self) -> int:
        """Arenas in the weight."""
        return prod(self.grid) // self.blocks_per_arena


@dataclass(frozen=True)
class Granularity:
    """One member of the seam."""

    name: str
    label: str
    layout: Callable[..., Layout]
    presets: tuple[dict[str, Any], ...] = ({},)
    settings: dict[str, SettingSpec] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The first sentence of the member's docstring."""
        return (self.layout.__doc__ or "").split("\n")[0].strip()

    def label_of(self, **settings: Any) -> str:
        """Return the label with these settings in it: `2:4`, `Block 4×4`."""
        defaults = {name: spec.default for name, spec in self.settings.items()}
        return self.label.format(**defaults | settings)


GRANULARITIES: Registry[Granularity] = Registry("granularity")


def granularity(
    name: str, *, label: str, presets: tuple[dict[str, Any], ...] = ({},)
) -> Callable[[Callable[..., Layout]], Callable[..., Layout]]:
    """Add a layout function to the seam; `presets` are the settings that menus offer."""

    def add(function: Callable[..., Layout]) -> Callable[..., Layout]:
        GRANULARITIES.add(name, Granularity(name, label, function, presets, settings_of(function)))
        return function

    return add


def _plain(shape: Shape, block: Shape) -> Layout:
    return Layout(shape, tuple(range(len(shape))), shape, block)


@granularity("fine_grained", label="Fine")
def fine_grained(shape: Shape) -> Layout:
    """Single weights compete within the layer (Han et al. 2015, arXiv:1506.02626)."""
    return _plain(shape, (1,) * len(shape))


@granularity("row", label="Row")
def row(shape: Shape) -> Layout:
    """Rows of the matrix that the layer multiplies by: all of one output (Wen et al. 2016, arXiv:1608.03665)."""
    return _plain(shape, (1, *shape[1:]))


@granularity("column", label="Column")
def column(shape: Shape) -> Layout:
    """Columns of that matrix: one input position, for all outputs (Wen et al. 2016, arXiv:1608.03665)."""
    return _plain(shape, (shape[0], *(1,) * (len(shape) - 1)))


@granularity("kernel", label="Kernel")
def kernel(shape: Shape) -> Layout:
    """Whole kernels: all positions that join one input to one output (Mao et al. 2017, arXiv:1705.08922)."""
    if prod(shape[2:]) == 1:
        raise GranularityError("a weight without kernel positions has no kernels to remove; fine_grained does the same")
    return _plain(shape, (1, 1, *shape[2:]))


@granularity("block", label="Block {rows}×{cols}", presets=({"rows": 4, "cols": 4}, {"rows": 4, "cols": 1}))
def block(
    shape: Shape, *, rows: Annotated[int, Setting(1, 256)] = 4, cols: Annotated[int, Setting(1, 256)] = 4
) -> Layout:
    """Blocks of rows x cols in the matrix (out, in * kernel) (Narang et al. 2017, arXiv:1711.02782)."""
    matrix = (shape[0], prod(shape[1:]))
    if matrix[0] % rows or matrix[1] % cols:
        raise GranularityError(f"blocks of ({rows}, {cols}) do not tile a matrix of {matrix}; {_fitting(matrix)}")
    return Layout(shape, tuple(range(len(shape))), matrix, (rows, cols))


@granularity("n_m", label="{n}:{m}", presets=({"n": 2, "m": 4}, {"n": 1, "m": 4}, {"n": 4, "m": 8}))
def n_m(
    shape: Shape,
    *,
    n: Annotated[int, Setting(1, 63)] = 2,
    m: Annotated[int, Setting(2, 64)] = 4,
    layout: Literal["input_channel", "flat"] = "input_channel",
) -> Layout:
    """Keep n of every m consecutive inputs (Mishra et al. 2021, arXiv:2104.08378); `flat` counts in * kernel."""
    if n >= m:
        raise GranularityError(f"{n}:{m} removes nothing; n must be below m")
    axes = len(shape)
    order = (0, *range(2, axes), 1) if layout == "input_channel" else tuple(range(axes))
    view = (prod(shape) // shape[1], shape[1]) if layout == "input_channel" else (shape[0], prod(shape[1:]))
    if view[1] % m:
        raise GranularityError(f"{n}:{m} needs inputs in groups of {m}, this layer has {view[1]}; {_divisors(view[1])}")
    return Layout(shape, order, view, (1, 1), (1, m), steps=(0.0, 1 - n / m))


def _divisors(size: int) -> str:
    fitting = [str(m) for m in (2, 4, 8, 16, 32) if size % m == 0]
    return f"m of {' or '.join(fitting)} would fit" if fitting else "no m of 2, 4, 8, 16 or 32 fits"


def _fitting(matrix: tuple[int, int]) -> str:
    sizes = [(r, c) for r in (16, 8, 4, 2, 1) for c in (16, 8, 4, 2, 1) if not matrix[0] % r and not matrix[1] % c]
    return f"try {', '.join(str(size) for size in sizes[:3])}"
