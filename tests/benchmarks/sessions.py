"""Many visitors at once: each moves sliders for some minutes while others sweep; errors, waiting times, memory.

A move is a drag of one row, then its release; its time is that from the message to the headline that shows it. Visitors
speak the page's own protocol over WebSockets (`browser_protocol`), so the drawing in a browser is not in it.
"""

import asyncio
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import sample_models
from explorer.snapshot import ExplorerState, to_link
from tests.benchmarks.app_start import ROOT, command, free_port, wait_for_health
from tests.benchmarks.browser_protocol import Visitor
from tests.benchmarks.common import parser, percentile, progress, run

THINK_SECONDS = 1.0  # between two moves of one visitor
DRAGS = 4  # of a slider before it is released
CRITERIA = ("l1", "l2", "random")
AIM_MS = 500  # p95


def link(model: str) -> str:
    """Return the link that opens a sample with its data."""
    return to_link(ExplorerState(model=model, data=sample_models.SAMPLES[model].dataset))


def layers(visitor: Visitor) -> list[str]:
    """Return the rows of the mixer that can be pruned."""
    return [row["name"] for row in visitor.components["mixer"].data["rows"] if row["prunable"]]


async def move_sliders(visitor: Visitor, until: float, found: dict[str, list[float]], seed: int) -> None:
    """Drag, release and look on until the time is over."""
    draw = random.Random(seed)
    while time.perf_counter() < until:
        layer, target = draw.choice(layers(visitor)), draw.uniform(0.1, 0.9)
        for step in range(1, DRAGS + 1):
            found["drag"].append(await visitor.drag({layer: {"sparsity": round(target * step / DRAGS, 2)}}))
        found["release"].append(await visitor.commit({layer: {"sparsity": round(target, 2)}}))
        await visitor.tick()
        await asyncio.sleep(draw.uniform(0.5, 1.5) * THINK_SECONDS)


async def sweep(visitor: Visitor, until: float, found: dict[str, list[float]]) -> None:
    """Ask for a full curve of one layer after the other, in one way of pruning after the other."""
    while time.perf_counter() < until:
        for criterion in CRITERIA:
            for layer in layers(visitor):
                if time.perf_counter() > until:
                    return
                await visitor.commit({layer: {"criterion": criterion}})
                await visitor.command({"kind": "measure", "layer": layer})
                found["asked"].append(time.perf_counter())
                for _ in range(6):
                    await asyncio.sleep(0.5)
                    await visitor.tick()


def memory_mb(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return what the server holds itself, and what it and its workers hold together."""
    sizes = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            sizes[int(lines["Pid"])] = (int(lines["PPid"]), int(lines.get("VmRSS", "0 kB").split()[0]) / 1000)
        except (OSError, ValueError):
            continue
    own = {process.pid} | {pid for pid, (parent, _) in sizes.items() if parent == process.pid}
    return sizes[process.pid][1], sum(sizes[pid][1] for pid in own)


async def visit(port: int, process: subprocess.Popen[bytes], given: Any) -> dict[str, Any]:
    """Let all visitors come, and measure."""
    names = list(sample_models.SAMPLES)
    movers, sweepers = [[Visitor(f"http://127.0.0.1:{port}") for _ in range(n)] for n in (given.visitors, given.sweeps)]
    came = []
    for k, visitor in enumerate([*movers, *sweepers]):
        started = time.perf_counter()
        await visitor.come(link(names[k % len(names)]))
        came.append(time.perf_counter() - started)
    progress(f"{len(came)} visitors are here")
    found: dict[str, list[float]] = {"drag": [], "release": [], "asked": []}
    started = time.perf_counter()
    until, memory = started + given.seconds, [(0.0, *memory_mb(process))]
    work = [move_sliders(visitor, until, found, seed) for seed, visitor in enumerate(movers)]
    work += [sweep(visitor, until, found) for visitor in sweepers]

    async def weigh() -> None:
        while time.perf_counter() < until:
            await asyncio.sleep(min(10.0, given.seconds / 6))
            memory.append((time.perf_counter() - started, *memory_mb(process)))

    ended = await asyncio.gather(*work, weigh(), return_exceptions=True)
    errors = [repr(each) for each in ended if isinstance(each, BaseException)]
    errors += [text for visitor in [*movers, *sweepers] for text in visitor.errors]
    for visitor in [*movers, *sweepers]:
        await visitor.leave()
    settled = next(row for row in memory if row[0] >= given.seconds / 3)
    return {
        "visitors": given.visitors,
        "sweeps": given.sweeps,
        "seconds": given.seconds,
        "errors": len(errors),
        "first_errors": errors[:5],
        "first_page_s": {"p50": percentile(came, 50), "max": max(came)},
        "drag_ms": _summary(found["drag"]),
        "release_ms": _summary(found["release"]),
        "aim_p95_ms": AIM_MS,
        "sweeps_asked": len(found["asked"]),
        "server_mb": {"start": memory[0][1], "after_a_third": settled[1], "end": memory[-1][1]},
        "with_workers_mb": {"start": memory[0][2], "after_a_third": settled[2], "end": memory[-1][2]},
    }


def _summary(seconds: list[float]) -> dict[str, float]:
    milliseconds = [1000 * each for each in seconds]
    return {"n": len(milliseconds)} | {f"p{p}": percentile(milliseconds, p) for p in (50, 95, 99) if milliseconds}


def main() -> None:
    """Start a server with an empty store, let the visitors come, print one document."""
    options = parser(__doc__, names=[])
    options.add_argument("--visitors", type=int, default=20)
    options.add_argument("--sweeps", type=int, default=5)
    options.add_argument("--seconds", type=float, default=180.0)
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        port, folder = free_port(), tempfile.mkdtemp(prefix="pruning-explorer-sessions-")
        own = os.environ | {"PRUNING_EXPLORER_DATA": folder, "PYTHONPATH": str(ROOT)}
        words = [*command(), "run", "--no-browser", "--port", str(port)]
        process = subprocess.Popen(words, cwd=ROOT, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for_health(port, process)
            return asyncio.run(visit(port, process, given))
        finally:
            process.terminate()
            process.wait(30)

    run(measure)


if __name__ == "__main__":
    main()
