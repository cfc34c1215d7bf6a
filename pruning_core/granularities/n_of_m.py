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
        raise GranularityError(f"{n}:{m} needs inputs in groups of {m}, this layer has {view[1]}; {_divisors(view[1])}")
    return Layout(shape, order, view, (1, 1), (1, m), steps=(0.0, 1 - n / m))


def _divisors(size: int) -> str:
    fitting = [str(m) for m in (2, 4, 8, 16, 32) if size % m == 0]
    return f"m of {' or '.join(fitting)} would fit" if fitting else "no m of 2, 4, 8, 16 or 32 fits"
