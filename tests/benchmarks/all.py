"""Run the benchmarks that docs/performance.md shows, one after the other, and write its tables anew.

`python -m tests.benchmarks.all --out docs/measured` on a quiet machine takes about a quarter of an hour on one core;
`executors` takes two cores. Each part is a process with one thread whose document goes to OUT/PART.json; a part that
fails leaves the document that was there and the others run.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from tests.benchmarks import performance
from tests.benchmarks.common import progress

ROOT = Path(__file__).parents[2]
PARTS: dict[str, tuple[str, ...]] = {
    "sweeps": (),
    "peers": (),
    "slider": (),
    "memory": (),
    "executors": (),
    "stacking": (),
}
QUICK: dict[str, tuple[str, ...]] = {
    "sweeps": ("--n", "100", "--layers", "2", "--naive-seconds", "1"),
    "peers": ("--n", "100", "--layers", "1"),
    "slider": ("--moves", "2"),
    "memory": ("--n", "100"),
    "executors": ("--n", "100", "--layers", "1"),
    "stacking": ("--n", "8"),
}


def measure(part: str, options: tuple[str, ...], out: Path) -> bool:
    """Run one part and keep its document; return whether it could be measured."""
    progress(f"{part} ...")
    started = perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"tests.benchmarks.{part}", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{part}.json").write_text(done.stdout, "utf-8")
    result = "done" if done.returncode == 0 else f"failed with {done.returncode}"
    progress(f"{part} {result} after {perf_counter() - started:.0f} s")
    return done.returncode == 0


def main() -> None:
    """Measure, then write the tables; exit code 1 if a part failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=performance.MEASURED, help="folder of the documents")
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    options.add_argument("--skip", nargs="+", choices=PARTS, default=[], help="parts to leave as they are")
    options.add_argument("--quick", action="store_true", help="with few examples and layers, to see that all works")
    given = options.parse_args()
    parts = [part for part in given.only if part not in given.skip]
    measured = [measure(part, (QUICK if given.quick else PARTS)[part], given.out.resolve()) for part in parts]
    if given.out.resolve() == performance.MEASURED.resolve():
        performance.main()
    sys.exit(not all(measured))


if __name__ == "__main__":
    main()
