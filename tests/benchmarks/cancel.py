"""Stop of a sweep: from Cancel to the job's end, at random moments of real sweeps in a worker process.

Each sweep is one that nothing is known of, so that it is still measuring; the server has loaded the model, as for its
page, and some moments fall into the worker's start or its own loading. A worker that did not stop was killed.
"""

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from explorer import jobs, resources, work, workers
from explorer.settings import SETTINGS
from pruning_core import Request
from tests.benchmarks.common import parser, percentile, run

AIM = 2.0  # seconds, 95th percentile
LONGEST = 4.0  # seconds between start and cancel, at most


def once(name: str, number: int, chance: random.Random) -> dict[str, Any]:
    """Start a sweep, stop it, and return what that took."""
    data = str(resources.model(name).data_name)
    resources.reference(name, data)
    request = Request(criterion="random", settings={"seed": number}, exact=True)
    before = [worker.process.pid for worker in workers.POOL._all]
    job = work.start_sweep(name, data, request)
    time.sleep(chance.uniform(0, LONGEST))
    was_live, cells = job.live, job.progress.cells_done if job.progress else None
    started = time.perf_counter()
    job.cancel()
    job.wait()
    seconds = time.perf_counter() - started
    killed = bool(before) and before != [worker.process.pid for worker in workers.POOL._all]
    return {"seconds": seconds, "state": job.state, "live": was_live, "measuring": cells is not None, "killed": killed}


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return percentiles over the sweeps that were still running."""
    seconds = [each["seconds"] for each in found if each["live"]]
    return {
        "cancels": len(seconds),
        "ended_before": len(found) - len(seconds),
        "while_measuring": sum(each["live"] and each["measuring"] for each in found),
        "killed": sum(each["killed"] for each in found),
        "p50_s": round(percentile(seconds, 50), 3),
        "p95_s": round(percentile(seconds, 95), 3),
        "slowest_s": round(max(seconds), 3),
    }


def memory() -> list[dict[str, int]]:
    """Return resident and private megabytes of each worker process, where the system tells."""
    found = []
    for worker in workers.POOL._all:
        path = Path(f"/proc/{worker.process.pid}/smaps_rollup")
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        found.append({"resident_mb": kilobytes["Rss"] >> 10, "private_mb": kilobytes["Private_Dirty"] >> 10})
    return found


def main() -> None:
    """Print percentiles for each sample and for all."""
    options = parser(__doc__)
    options.add_argument("--cancels", type=int, default=12, help="of each sample")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    chance = random.Random(given.seed)
    os.environ["PRUNING_EXPLORER_DATA"] = tempfile.mkdtemp(prefix="pruning-explorer-")
    SETTINGS.workers = 1

    def measure() -> dict[str, Any]:
        found = {name: [once(name, k, chance) for k in range(given.cancels)] for name in given.samples}
        rows = {name: summary(rows) for name, rows in found.items()}
        every = summary([each for rows in found.values() for each in rows])
        return {"aim_p95_s": AIM, "reached": every["p95_s"] < AIM, "all": every, "workers": memory(), "samples": rows}

    run(measure)
    jobs.stop_all()


if __name__ == "__main__":
    main()
