"""The anytime sweep against the exact one: share of the examples it used, and whether its drops are inside tolerance.

No times: what an example costs is in sweeps. `used_macs` weighs each example by the multiply-accumulates that
its cell runs again.
"""

from collections.abc import Sequence
from typing import Any

import pruning_core as pc
from pruning_core.data import EvalData
from pruning_core.model import Model
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.estimates import tolerance_of
from pruning_core.sensitivity.replay import Replay
from tests.benchmarks.common import load, parser, run

STATES = ("settled", "bracketed", "exact")
BANDS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # lower ends, of the size of the drop


def compare(model: Model, data: EvalData, granularity: str) -> dict[str, Any]:
    """Return the figures of merit of one sample."""
    replay = Replay(model.graph)
    exact = pc.sweep(model, data, pc.Request(granularity=granularity, exact=True), replay=replay)
    anytime = pc.sweep(model, data, pc.Request(granularity=granularity), replay=replay)
    truth = {(cell.layer, cell.sparsity): cell.drop for cell in exact.cells}
    cells, macs = anytime.cells, replay.fork_macs
    return {
        "n": len(data),
        "cells": len(cells),
        "used": used(cells, len(data)),
        "used_macs": sum(macs[c.layer] * c.tally.n for c in cells) / sum(macs[c.layer] * len(data) for c in cells),
        **{state: share([cell.state == state for cell in cells]) for state in STATES},
        "inside": share([inside(cell, truth) for cell in cells]),
        "inside_of_bracketed": share([inside(cell, truth) for cell in cells if cell.state == "bracketed"]),
        "covered": share([error(cell, truth) <= cell.figure.margin + 1e-9 for cell in cells]),
        "largest_error_of_bracketed": max((error(c, truth) for c in cells if c.state == "bracketed"), default=None),
        "by_drop": by_drop(cells, truth, len(data)),
        "outside": [
            {"layer": c.layer, "sparsity": c.sparsity, "state": c.state, "drop": c.drop, "exact": drop_in(c, truth)}
            for c in cells
            if not inside(c, truth)
        ],
    }


def by_drop(cells: Sequence[Cell], truth: dict[tuple[str, float], float], n: int) -> list[dict[str, Any]]:
    """Return the cells by the size of their exact drop."""
    found = []
    for low, high in zip(BANDS, (*BANDS[1:], 2.0), strict=True):
        band = [cell for cell in cells if low <= abs(drop_in(cell, truth)) < high]
        if band:
            found.append({"from": low, "cells": len(band), "used": used(band, n)})
    return found


def drop_in(cell: Cell, truth: dict[tuple[str, float], float]) -> float:
    """Return the exact drop of a cell."""
    return truth[cell.layer, cell.sparsity]


def error(cell: Cell, truth: dict[tuple[str, float], float]) -> float:
    """Return how far a cell is from its exact drop."""
    return abs(cell.drop - drop_in(cell, truth))


def inside(cell: Cell, truth: dict[tuple[str, float], float]) -> bool:
    """Whether a cell is as near to its exact drop as was promised."""
    return error(cell, truth) <= tolerance_of(drop_in(cell, truth)) + 1e-9


def used(cells: Sequence[Cell], n: int) -> float:
    """Return the share of all examples that these cells saw."""
    return sum(cell.tally.n for cell in cells) / len(cells) / n


def share(facts: Sequence[bool]) -> float | None:
    """Return the share that is true, None of nothing."""
    return sum(facts) / len(facts) if facts else None


def rounded(value: Any) -> Any:
    """Return the same with every fraction at four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Print the figures of all samples."""
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=2000, help="examples")
    options.add_argument("--split", default="validation", help="the one that the examples are drawn from")
    options.add_argument("--draws", type=int, default=1, help="of n examples; they differ where the split holds more")
    options.add_argument("--granularity", default="fine_grained")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in given.samples:
            model, dataset = load(name)
            split = dataset.split(given.split)
            draws = [split.take(given.n, seed) for seed in range(given.draws)]
            found[name] = [rounded(compare(model, data, given.granularity)) for data in draws]
        return {"granularity": given.granularity, "split": given.split, "samples": found}

    run(measure)


if __name__ == "__main__":
    main()
