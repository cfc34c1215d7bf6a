"""Budgets as people write them: `accuracy_drop<=0.01`, `size<=0.5`, `size<=200kB`, `macs<=150M`, `latency<=2ms`."""

import re
from dataclasses import dataclass

from pruning_core.errors import PlanError
from pruning_core.registry import suggestion

BUDGET = re.compile(r"\s*([a-z_]+)\s*<=\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([A-Za-z]*)\s*")
DROP = "accuracy_drop"
PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
UNITS: dict[str, dict[str, float]] = {  # metric -> unit -> how much of the cost's own unit; empty: fractions alone
    DROP: {},
    "size": {f"{prefix}B": factor for prefix, factor in PREFIXES.items()} | {"KiB": 1 << 10, "MiB": 1 << 20},
    "macs": PREFIXES | {f"{prefix}MACs": factor for prefix, factor in PREFIXES.items()},
    "params": dict(PREFIXES),
    "latency": {"us": 1e3, "ms": 1e6, "s": 1e9},  # of a nanosecond
}
WORKS = {
    DROP: "a fraction from 0 to 1 of the validation examples",
    "size": "'size<=0.5' of the dense bytes, or 'size<=200kB', works",
    "macs": "'macs<=0.5' of the dense ones, or 'macs<=150M', works",
    "params": "'params<=0.5' of the dense ones, or 'params<=2M', works",
    "latency": "'latency<=0.7' of the dense time, or 'latency<=2ms', works",
}


@dataclass(frozen=True)
class Budget:
    """A limit on one metric: a fraction (of the examples for the drop, of the dense model for a cost), or an amount."""

    metric: str
    limit: float
    is_fraction: bool = True

    def __post_init__(self) -> None:
        if self.metric not in UNITS:
            raise PlanError(f"unknown budget '{self.metric}'; {suggestion(self.metric, UNITS)}")
        if not self.limit >= 0 or (self.is_fraction and self.limit > 1):
            raise PlanError(f"a budget of {self.limit:g} for {self.metric} is outside 0 to 1; it is a fraction")


def parse_budget(text: str) -> Budget:
    """Return what `text` limits; anything else is refused with what works."""
    match = BUDGET.fullmatch(text)
    metric = match[1] if match else next((name for name in UNITS if text.strip().startswith(name)), DROP)
    works = WORKS.get(metric)
    if works is None:
        works = suggestion(metric, UNITS)
    elif metric == DROP:
        works = f"'accuracy_drop<=0.01' works: {works}"
    refusal = PlanError(f"the budget '{text}' is not understood; {works}")
    if match is None or metric not in UNITS:
        raise refusal
    try:
        number = float(match[2])
    except ValueError:
        raise refusal from None
    unit, units = match[3], UNITS[metric]
    if not unit and 0 <= number <= 1:
        return Budget(metric, number)
    if unit not in units or number < 0:
        raise refusal
    return Budget(metric, number * units[unit], is_fraction=False)
