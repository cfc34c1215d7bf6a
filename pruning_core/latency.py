"""Latency of a pruned model against its dense one, interleaved, with the null test beside it.

Rounds: three arms, the dense model (D), the pruned one (P) and a second copy of the dense one (N, the null), run as
mirrored blocks, D P N N P D, so that a drift of the machine falls on all alike; the arms change places from round to
round. A block repeats its arm until it lasts 10 ms. Each round gives one ratio P / D and one N / D.

Clock: at one thread on the CPU the ratio is of CPU time of that thread, since on a shared machine wall time also counts
what others do (measured under load: null ratios of 0.56 to 1.18 by wall, 0.98 to 1.07 by CPU time). With more threads
CPU time would count spinning, so the ratio is of wall time then. Milliseconds are by the same clock, or two models
without a difference could be shown with times a third apart; the medians by the wall stand beside them.

Rule for a difference: the null says how far from 1 a ratio gets when nothing has changed, in either direction. Let d be
the distance from 1 of the farther end of the null's interval, and at least `FLOOR`: where a copy lies in memory is
drawn anew for each copy, and a session shows one draw. A difference is stated only when the whole interval of the ratio
lies outside 1 / (1 + d) to 1 + d; so never when it overlaps the null's interval.
"""

import gc
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from statistics import median
from threading import Lock

import torch

from pruning_core.errors import Cancelled, PruningError
from pruning_core.evaluate import IsCancelled
from pruning_core.intervals import Interval, median_interval, values_for_median
from pruning_core.runtimes import RUNTIMES

Call = Callable[[], object]
BLOCK_SECONDS = 0.010
MIN_ROUNDS = values_for_median()  # fewer have no interval
FLOOR = 0.02
WARM_UP_SECONDS, WARM_UP_CALLS = 0.1, 3
_ONE_AT_A_TIME = Lock()

__all__ = ["RUNTIMES", "Latency", "compare", "differs", "machine"]


@dataclass(frozen=True)
class Latency:
    """One comparison. Ratios are pruned / dense: below 1 the pruned model is faster. Intervals are at 95 %."""

    runtime: str
    device: str
    machine: str
    threads: int
    batch: int
    dense_ms: float  # median time of one call, by `clock`
    pruned_ms: float
    dense_wall_ms: float  # by the wall, whatever else the machine did
    pruned_wall_ms: float
    ratio_to_dense: float  # median of the rounds
    ratio_interval: Interval
    null_ratio: float  # dense against a second copy of itself
    null_interval: Interval
    n_blocks: int  # of each arm
    clock: str  # of the ratios: "cpu" or "wall"
    how: str

    @property
    def difference(self) -> bool:
        """Whether the ratio lies outside what the same model against itself shows."""
        return differs(self.ratio_interval, self.null_interval)


def differs(ratio: Interval, null: Interval) -> bool:
    """Return whether all of `ratio` lies farther from 1 than any of `null`, by the rule of this file."""
    distance = max(null[1] - 1, 1 / null[0] - 1, FLOOR)
    return ratio[1] < 1 / (1 + distance) or ratio[0] > 1 + distance


@dataclass(frozen=True)
class _Block:
    """Seconds of one call, over one or more blocks."""

    cpu: float
    wall: float

    def __add__(self, other: "_Block") -> "_Block":
        return _Block(self.cpu + other.cpu, self.wall + other.wall)


@dataclass(frozen=True)
class _Arm:
    call: Call
    repeats: int

    def block(self) -> _Block:
        """Run the block; return seconds per call."""
        call = self.call
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(self.repeats):
            call()
        cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
        return _Block(cpu / self.repeats, wall / self.repeats)


def compare(
    dense: Call,
    pruned: Call,
    *,
    runtime: str,
    batch: int,
    threads: int = 1,
    seconds: float = 4.0,
    null: Call | None = None,
    device: str = "cpu",
    cancelled: IsCancelled | None = None,
) -> Latency:
    """Measure both for about `seconds`, at least six rounds; `null` is a second copy of dense (else dense itself).

    One comparison at a time runs in a process; others wait. The calls must return when their work is done.
    """
    with _alone(cancelled), _quiet(threads):
        arms = [_warmed_up(call, cancelled) for call in (dense, pruned, null or dense)]
        rounds = list(_rounds(arms, seconds, cancelled))
    clock = "cpu" if threads == 1 and device == "cpu" else "wall"
    dense_s, pruned_s, null_s = ([getattr(blocks[arm], clock) / 2 for blocks in rounds] for arm in range(3))
    ratios, nulls = ([s / d for s, d in zip(other, dense_s, strict=True)] for other in (pruned_s, null_s))
    return Latency(
        runtime=runtime,
        device=device,
        machine=machine(),
        threads=threads,
        batch=batch,
        dense_ms=median(dense_s) * 1e3,
        pruned_ms=median(pruned_s) * 1e3,
        dense_wall_ms=median(blocks[0].wall / 2 for blocks in rounds) * 1e3,
        pruned_wall_ms=median(blocks[1].wall / 2 for blocks in rounds) * 1e3,
        ratio_to_dense=median(ratios),
        ratio_interval=median_interval(ratios),
        null_ratio=median(nulls),
        null_interval=median_interval(nulls),
        n_blocks=2 * len(rounds),
        clock=clock,
        how=_how(clock, len(rounds), threads, batch),
    )


def _rounds(arms: list[_Arm], seconds: float, cancelled: IsCancelled | None) -> Iterator[list[_Block]]:
    """Yield per round what each arm took, the sum of its two blocks."""
    end, n = time.perf_counter() + seconds, 0
    while n < MIN_ROUNDS or time.perf_counter() < end:
        order = [(n + place) % len(arms) for place in range(len(arms))]
        blocks: dict[int, _Block] = {}
        for arm in order + order[::-1]:
            _check(cancelled)
            block = arms[arm].block()
            blocks[arm] = blocks[arm] + block if arm in blocks else block
        yield [blocks[arm] for arm in range(len(arms))]
        n += 1


def _warmed_up(call: Call, cancelled: IsCancelled | None) -> _Arm:
    """Run `call` until it is warm; return it with the repetitions that fill a block."""
    shortest, calls, start = float("inf"), 0, time.perf_counter()
    while calls < WARM_UP_CALLS or time.perf_counter() - start < WARM_UP_SECONDS:
        _check(cancelled)
        before = time.perf_counter()
        call()
        shortest, calls = min(shortest, time.perf_counter() - before), calls + 1
    block = max(BLOCK_SECONDS, 20 * time.get_clock_info("thread_time").resolution)
    return _Arm(call, max(1, ceil(block / max(shortest, 1e-9))))


@contextmanager
def _alone(cancelled: IsCancelled | None) -> Iterator[None]:
    while not _ONE_AT_A_TIME.acquire(timeout=0.05):
        _check(cancelled)
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


@contextmanager
def _quiet(threads: int) -> Iterator[None]:
    """Set torch's threads and keep the garbage collector out; both as before afterwards."""
    if threads < 1:
        raise PruningError(f"{threads} threads asked for; at least 1 is needed")
    threads_before, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(threads)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()


def _check(cancelled: IsCancelled | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("the latency measurement was stopped")


def _how(clock: str, n_rounds: int, threads: int, batch: int) -> str:
    used = "CPU time of that thread" if clock == "cpu" else "wall time"
    plural = "" if threads == 1 else "s"
    return (
        f"median of {n_rounds} interleaved rounds, batch {batch}, {threads} thread{plural}; milliseconds and "
        f"ratio of {used}; 95 % interval of the median; null: the dense model against a copy of itself"
    )


def machine() -> str:
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine() or "unknown"
