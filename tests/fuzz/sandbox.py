"""The whole rehearsal against mutated files: `python -m tests.fuzz.sandbox --cases 5000 --to result.json`.

Each file goes to the process that reads it even where its bytes alone would have refused it. The caller has to live,
each file to end in an answer or a code, nothing to be created outside, and nothing that was not foreseen is a success:
how often a process died (E616) or raised what nobody caught (E617) is counted, with the numbers that make it again.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pruning_core.errors import FileRefused
from pruning_core.guard import Limits
from pruning_core.sandbox import client
from pruning_core.sandbox.rehearsal import rehearse_unchecked
from tests.fuzz.mutations import mutated
from tests.fuzz.scanner import outcome
from tests.fuzz.seeds import by_kind

EVERY = 50  # cases between two writings of the result
LIMITS = Limits(cpu_seconds=20, wall_seconds=40, memory_mb=2048)
FILES = {"onnx": "a.onnx", "safetensors": "a.safetensors+as@lenet_300_100", "state_dict": "a.pt+as@lenet_300_100"}
FILES |= {"npy": "a.npy", "npz": "a.npz", "images": "a.zip", "table": "a.csv"}
KEPT = ("E614", "E615", "E616", "E617")  # codes whose cases are kept
MOST_KEPT = 200


@dataclass
class Result:
    """What was found so far."""

    cases: int = 0
    seconds: float = 0.0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)  # by kind: code, or "opened"
    let_on: int = 0  # cases that their bytes alone would not have refused
    kept: list[dict[str, object]] = field(default_factory=list)
    slowest_seconds: float = 0.0
    starts: int = 0  # of the process that waits; one for each run of this script when none died
    outside: list[str] = field(default_factory=list)  # what was created beside the files


def one(number: int, files: dict[str, list[bytes]], result: Result) -> None:
    """Try one case."""
    kind = list(FILES)[number % len(FILES)]
    content = mutated(files[kind], number)
    is_let_on = outcome(content) == kind
    result.let_on += is_let_on
    name, plus, options = FILES[kind].partition("+")
    with tempfile.TemporaryDirectory(prefix="pruning-explorer-fuzz-") as folder:
        Path(folder, name).write_bytes(content)
        started = time.monotonic()
        what = "model" if kind in ("onnx", "safetensors", "state_dict") else "data"
        try:
            rehearse_unchecked(f"{folder}/{name}{plus}{options}", what, kind, None, LIMITS)
            code = "opened"
        except FileRefused as error:
            code = error.code
            if code in KEPT and len(result.kept) < MOST_KEPT:
                told = {"case": number, "kind": kind, "code": code, "is_let_on": is_let_on}
                result.kept.append(told | {"sentence": str(error)[:200]})
        result.slowest_seconds = max(result.slowest_seconds, time.monotonic() - started)
        result.outside += [entry for entry in os.listdir(folder) if entry not in (name, "a.safetensors")]
    result.outcomes.setdefault(kind, Counter())[code] += 1
    result.cases += 1


def _read(path: Path) -> Result:
    if not path.exists():
        return Result()
    kept = json.loads(path.read_text("utf-8"))
    return Result(**(kept | {"outcomes": {kind: Counter(found) for kind, found in kept["outcomes"].items()}}))


def _write(result: Result, path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(vars(result), indent=1, sort_keys=True), "utf-8")
    os.replace(partial, path)


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--to", type=Path, default=Path("fuzz_sandbox.json"))
    parser.add_argument("--trace", action="store_true", help="print the tracebacks of what is refused")
    parser.add_argument("--only", type=int, help="try this case alone")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO if asked.trace else logging.WARNING)
    files, result, process = by_kind(), _read(asked.to), None
    if asked.only is not None:
        one(asked.only, files, result)
        print(vars(result))
        return
    while result.cases < asked.cases:
        started = time.monotonic()
        for _ in range(min(EVERY, asked.cases - result.cases)):
            one(result.cases, files, result)
            waiting = client._zygote.process.pid if client._zygote else None
            result.starts, process = result.starts + (waiting != process), waiting
        result.seconds += time.monotonic() - started
        _write(result, asked.to)


if __name__ == "__main__":
    main()
