"""An exact sweep by one process, by two, and by a Dask cluster of two workers on this machine; wall time, quiet cores.

Processes are started for each sweep, which is counted, and also given apart (`first_cell_s`); the workers of a cluster
are there before, but load torch for their first sweep.
"""

from statistics import mean
from time import perf_counter
from typing import Any

import torch
from dask.distributed import LocalCluster

import pruning_core as pc
from pruning_core.sensitivity import Request
from pruning_core.sensitivity.executors import MakeExecutor, executor_for
from tests.benchmarks.common import parser, progress, run
from tests.benchmarks.subjects import Subject, subject

WORKERS = 2


def compare(subject: Subject, cluster: str) -> dict[str, Any]:
    """Sweep with each executor, with one process before and after the others."""
    executors: dict[str, MakeExecutor] = {
        "one process": executor_for(),
        f"{WORKERS} processes": executor_for(WORKERS),
        f"Dask, {WORKERS} workers": executor_for(cluster=cluster),
    }
    one = next(iter(executors))
    runs: dict[str, list[Timed]] = {name: [] for name in executors}
    for name in (*executors, one):
        progress(f"  {name}")
        runs[name].append(Timed(subject, executors[name]))
    wall = {name: mean([run.wall_s for run in timed]) for name, timed in runs.items()}
    first = {name: mean([run.first_cell_s for run in timed]) for name, timed in runs.items()}
    cells = runs[one][0].sweep.cells
    return {
        "n": len(subject.data),
        "cells": len(cells),
        "wall_s": wall,
        "first_cell_s": first,
        "times_one_process": {name: wall[one] / wall[name] for name in executors},
        "times_after_first_cell": {name: (wall[one] - first[one]) / (wall[name] - first[name]) for name in executors},
        "same_cells": all(run.sweep.cells == cells for timed in runs.values() for run in timed),
    }


class Timed:
    """A sweep, its wall seconds, and those until its first cell."""

    def __init__(self, subject: Subject, executor: MakeExecutor) -> None:
        request, seen = Request(exact=True, layers=subject.names), []
        started = perf_counter()
        self.sweep = pc.sweep(
            subject.model,
            subject.data,
            request,
            executor=executor,
            on_progress=lambda _: None if seen else seen.append(perf_counter()),
        )
        self.wall_s, self.first_cell_s = perf_counter() - started, seen[0] - started


def main() -> None:
    """Print the figures."""
    options = parser(__doc__, ["resnet_fashion"])
    options.add_argument("--n", type=int, default=1000, help="examples")
    options.add_argument("--layers", type=int, default=0, help="layers swept (default: all)")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found = {}
        with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
            for name in given.samples:
                progress(name)
                found[name] = compare(subject(name, given.n, given.layers), cluster.scheduler_address)
        return {"subjects": found}

    with torch.no_grad():
        run(measure)


if __name__ == "__main__":
    main()
