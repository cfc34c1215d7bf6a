"""N of every M: small arenas that each keep the same number of weights, as sparse tensor cores want it."""

from math import prod
from typing import Annotated, Literal

from pruning_core.errors import GranularityError
from pruning_core.granularities.seam import Layout, Shape, granularity
from pruning_core.registry import Setting


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
        raise GranularityError(f"{n}:{m} needs {_needs(shape, m, layout)}; {_fitting(shape, m, view[1])}")
    return Layout(shape, order, view, (1, 1), (1, m), steps=(0.0, 1 - n / m))


def _needs(shape: Shape, m: int, layout: str) -> str:
    if layout == "flat":
        return f"the weights of an output in groups of {m}, this layer has {prod(shape[1:])}"
    each = " for each output" if len(shape) > 2 else ""  # with groups an output reads only some of the inputs
    return f"inputs in groups of {m}, this layer has {shape[1]}{each}"


def _fitting(shape: Shape, m: int, size: int) -> str:
    sizes = [str(other) for other in (2, 4, 8, 16, 32) if size % other == 0]
    if sizes:
        return f"m of {' or '.join(sizes)} would fit"
    flat = "; layout flat would fit" if prod(shape[1:]) % m == 0 else ""
    return f"no m of 2, 4, 8, 16 or 32 fits{flat}"
