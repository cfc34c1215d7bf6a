"""Peak memory that a sweep takes beyond the model: resident bytes at most, less those of the loaded, traced model.

Each sample in a process of its own, on Linux, where the high-water mark can be set back. The data are loaded, one batch
went through the model, and the example tensors of the trace are gone before the sweep begins.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import pruning_core as pc
from pruning_core.sensitivity import Request
from tests.benchmarks.common import parser, progress, run
from tests.benchmarks.subjects import subject

ONE_LEVEL = (0.5,)  # of the exact sweep: levels run one after the other, so more take no more memory but masks
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(entry: str) -> int:
    """Return one of the sizes of this process in bytes: VmRSS now, VmHWM at most."""
    lines = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{entry}:")]
    return 1024 * int(lines[0].split()[1])


def most_during(request: Request, name: str, n: int) -> dict[str, int]:
    """Return bytes before a sweep and beyond it; in a process where no other ran."""
    found = subject(name, n)
    found.model.module(found.data.batch(slice(64)))
    gc.collect()
    before = resident("VmRSS")
    CLEAR.write_text("5")  # sets the high-water mark to what is resident now
    pc.sweep(found.model, found.data, request)
    return {"before_bytes": before, "beyond_bytes": resident("VmHWM") - before}


def in_a_child(name: str, n: int, exact: bool) -> dict[str, Any]:
    """Run this file in another process and return what it printed."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", "--n", str(n), "--child", name]
    done = subprocess.run([*command, *["--exact"] * exact], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the figures of all samples."""
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=2000, help="examples")
    options.add_argument("--child", metavar="NAME", help="measure one sample here")
    options.add_argument("--exact", action="store_true", help="the exact sweep, in the child")
    given = options.parse_args()
    if given.child:
        torch.set_num_threads(1)
        with torch.no_grad():
            request = Request(exact=True, levels=ONE_LEVEL) if given.exact else Request()
            print(json.dumps(most_during(request, given.child, given.n)))
        return

    def measure() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in given.samples:
            progress(name)
            found[name] = {kind: in_a_child(name, given.n, kind == "exact") for kind in ("anytime", "exact")}
        return {"n": given.n, "subjects": found}

    run(measure)


if __name__ == "__main__":
    main()
