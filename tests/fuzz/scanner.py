"""The scanner against millions of mutated files: `python -m tests.fuzz.scanner --inputs 10000000 --to result.json`.

Goes on where the result file ends. Each input has to be told or refused (`FileRefused`) within a second; anything else
raised is kept with the number that makes it again. `python -m tests.fuzz.scanner --show N` prints input N.
"""

import argparse
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pruning_core.errors import FileRefused
from pruning_core.guard import check_bytes
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import seeds

EVERY = 20_000  # inputs between two writings of the result
SLOW_SECONDS = 1.0
MOST_KEPT = 100


@dataclass
class Result:
    """What was found so far."""

    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)  # by code, or by kind of what was let on
    unexpected: list[dict[str, str]] = field(default_factory=list)  # anything raised that is no refusal
    slow: list[dict[str, float]] = field(default_factory=list)
    slowest_ms: float = 0.0
    grown_mb: float = 0.0  # of the largest process, since its start


def outcome(data: bytes) -> str:
    """Return the code by which a file is refused, or its kind."""
    try:
        return check_bytes(data)
    except FileRefused as error:
        return error.code


def run(result: Result, files: Sequence[bytes], until: int) -> None:
    """Go on with the next inputs."""
    started = time.perf_counter()
    while result.inputs < until:
        data, before = mutated(files, result.inputs), time.process_time()
        try:
            result.outcomes[outcome(data)] += 1
        except Exception as error:
            result.outcomes["unexpected"] += 1
            if len(result.unexpected) < MOST_KEPT:
                result.unexpected.append({"input": str(result.inputs), "error": repr(error)[:300]})
        took = time.process_time() - before  # of the processor: a busy machine is no fault of the file
        result.slowest_ms = max(result.slowest_ms, 1000 * took)
        if took > SLOW_SECONDS and len(result.slow) < MOST_KEPT:
            result.slow.append({"input": result.inputs, "seconds": took})
        result.inputs += 1
    result.seconds += time.perf_counter() - started


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _read(path: Path) -> Result:
    if not path.exists():
        return Result()
    kept = json.loads(path.read_text("utf-8"))
    return Result(**(kept | {"outcomes": Counter(kept["outcomes"])}))


def _write(result: Result, path: Path) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(vars(result), indent=1, sort_keys=True), "utf-8")
    os.replace(partial, path)


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--to", type=Path, default=Path("fuzz_scanner.json"))
    parser.add_argument("--show", type=int)
    asked = parser.parse_args()
    files = seeds()
    if asked.show is not None:
        print(mutated(files, asked.show))
        return
    result, at_start = _read(asked.to), _memory_mb()
    while result.inputs < asked.inputs:
        run(result, files, min(asked.inputs, result.inputs + EVERY))
        result.grown_mb = max(result.grown_mb, _memory_mb() - at_start)
        _write(result, asked.to)


if __name__ == "__main__":
    main()
