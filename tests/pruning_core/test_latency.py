"""Latency: the rule on hand-made intervals, the arithmetic on a fake clock, real runs that no busy machine can sway."""

import gc
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruning_core import latency
from pruning_core.errors import Cancelled, PruningError
from pruning_core.latency import RUNTIMES, Latency, compare, differs, machine


@pytest.fixture(autouse=True)
def _short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "WARM_UP_SECONDS", 0.01)


def work(n: int) -> Callable[[], object]:
    """A call that burns CPU in proportion to `n`."""
    size = torch.ones(96, 96)

    def call() -> object:
        result = size
        with torch.inference_mode():
            for _ in range(n):
                result = result @ size * 0.01
        return result

    return call


# The rule


@pytest.mark.parametrize(
    ("ratio", "null", "expected"),
    [
        ((0.45, 0.55), (0.97, 1.03), True),  # faster
        ((1.80, 2.20), (0.97, 1.03), True),  # slower
        ((0.99, 1.01), (0.97, 1.03), False),  # inside
        ((0.90, 0.98), (0.97, 1.03), False),  # overlaps
        ((0.95, 0.97), (1.00, 1.05), False),  # apart, but the null went as far the other way
        ((0.90, 0.93), (1.00, 1.05), True),
        ((0.985, 0.995), (0.999, 1.001), False),  # a quiet null, but within what a copy's place in memory does
        ((1.03, 1.04), (0.80, 1.00), False),  # the null's low end counts on both sides
        ((1.30, 1.40), (0.80, 1.00), True),
        ((0.2, 3.0), (0.99, 1.01), False),  # knows nothing
    ],
)
def test_rule(ratio: tuple[float, float], null: tuple[float, float], expected: bool) -> None:
    assert differs(ratio, null) is expected
    assert differs((1 / ratio[1], 1 / ratio[0]), (1 / null[1], 1 / null[0])) is expected  # the same either way round


# The arithmetic, on a clock that only the calls move


class Clock:
    """Stands in for `time`: wall runs three times as fast as CPU, as on a busy machine."""

    def __init__(self) -> None:
        self.cpu = 0.0

    def thread_time(self) -> float:
        return self.cpu

    def perf_counter(self) -> float:
        return self.cpu * 3

    def get_clock_info(self, name: str) -> object:
        return time.get_clock_info("thread_time")

    def takes(self, seconds: float, log: list[str] | None = None, name: str = "") -> Callable[[], object]:
        def call() -> None:
            self.cpu += seconds
            if log is not None:
                log.append(name)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(latency, "time", fake)
    return fake


def test_ratio_and_milliseconds_on_a_known_clock(clock: Clock) -> None:
    found = compare(clock.takes(0.002), clock.takes(0.001), null=clock.takes(0.002), runtime="fake", batch=8, seconds=2)
    assert found.ratio_to_dense == pytest.approx(0.5)
    assert found.ratio_interval == pytest.approx((0.5, 0.5))
    assert found.null_ratio == pytest.approx(1)
    assert found.null_interval == pytest.approx((1, 1))
    assert (found.dense_ms, found.pruned_ms) == pytest.approx((2, 1))
    assert (found.dense_wall_ms, found.pruned_wall_ms) == pytest.approx((6, 3))
    assert found.difference
    assert (found.runtime, found.batch, found.threads, found.device, found.clock) == ("fake", 8, 1, "cpu", "cpu")
    rounds = found.n_blocks // 2
    assert f"median of {rounds} interleaved rounds, batch 8, 1 thread; milliseconds and ratio of CPU" in found.how


def test_the_ratio_is_of_wall_time_with_more_threads(clock: Clock) -> None:
    def spinning() -> None:  # CPU time that is no time on the wall
        clock.cpu += 0.001

    clock.perf_counter = lambda: 0.001 * calls  # type: ignore[method-assign]
    calls = 0

    def counted(seconds: float) -> Callable[[], object]:
        def call() -> None:
            nonlocal calls
            calls += 1
            clock.cpu += seconds

        return call

    found = compare(counted(0.001), counted(0.005), runtime="fake", batch=1, threads=2, seconds=0.2)
    assert found.clock == "wall"
    assert found.ratio_to_dense == pytest.approx(1)
    assert "2 threads; milliseconds and ratio of wall time" in found.how


def test_rounds_are_mirrored_and_the_arms_change_places(clock: Clock) -> None:
    log: list[str] = []
    arms = [clock.takes(0.02, log, name) for name in "DPN"]  # each call fills a block
    found = compare(arms[0], arms[1], null=arms[2], runtime="fake", batch=1, seconds=0)
    warm_up = log.index("P"), log.index("N")
    assert warm_up[0] < warm_up[1]
    rounds = "".join(log)[-6 * 6 :]
    assert [rounds[start : start + 6] for start in range(0, 36, 6)] == ["DPNNPD", "PNDDNP", "NDPPDN"] * 2
    assert found.n_blocks == 12  # six rounds even when there is no time


def test_a_steady_drift_cancels(clock: Clock) -> None:
    speed = 1.0

    def drifting() -> None:
        nonlocal speed
        clock.cpu += 0.02 * speed
        speed += 0.001

    found = compare(drifting, drifting, runtime="fake", batch=1, seconds=2)
    assert found.ratio_to_dense == pytest.approx(1, abs=2e-4)
    assert not found.difference


def test_blocks_last_ten_milliseconds(clock: Clock) -> None:
    log: list[str] = []
    compare(clock.takes(1e-4, log, "D"), clock.takes(0.05, log, "P"), runtime="fake", batch=1, seconds=0)
    in_rounds = "".join(log).lstrip("D").lstrip("P").lstrip("D")  # after the warm-up of D, P and D for the null
    assert "D" * 34 + "P" in in_rounds  # 3.4e-4 s of wall each
    assert "PPPP" not in in_rounds  # one repetition fills a block; two meet where the arms turn, at most


# Real runs


def test_a_model_against_itself_shows_no_difference() -> None:
    found = [compare(work(8), work(8), null=work(8), runtime="torch", batch=1, seconds=0.2) for _ in range(3)]
    assert sum(one.difference for one in found) == 0, found


def test_twice_the_work_shows_about_twice_the_time() -> None:
    found: list[Latency] = []
    for _ in range(4):  # a machine too busy to tell says so and is asked again; it must never say the wrong thing
        found.append(compare(work(8), work(16), null=work(8), runtime="torch", batch=1, seconds=0.8))
        if found[-1].difference:
            break
    assert found[-1].difference, found
    assert 1.6 < found[-1].ratio_to_dense < 2.5, found


def test_threads_and_garbage_collector_are_as_before() -> None:
    before = torch.get_num_threads()
    seen: list[tuple[int, bool]] = []

    def call() -> None:
        seen.append((torch.get_num_threads(), gc.isenabled()))
        time.sleep(0.001)

    torch.set_num_threads(2)
    try:
        compare(call, call, runtime="torch", batch=1, seconds=0)
        assert set(seen) == {(1, False)}
        assert torch.get_num_threads() == 2
        assert gc.isenabled()
        with pytest.raises(ZeroDivisionError):
            compare(lambda: 1 / 0, call, runtime="torch", batch=1)
        assert torch.get_num_threads() == 2
        assert gc.isenabled()
    finally:
        torch.set_num_threads(before)


def test_only_one_comparison_at_a_time() -> None:
    running, overlaps = 0, 0
    guard = threading.Lock()

    def call() -> None:
        nonlocal running, overlaps
        with guard:
            running += 1
            overlaps += running > 1
        time.sleep(0.002)
        with guard:
            running -= 1

    def measure_once() -> None:
        compare(call, call, runtime="torch", batch=1, seconds=0)

    threads = [threading.Thread(target=measure_once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == 0


def test_cancelling_stops_within_a_block_and_frees_the_lock() -> None:
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    with pytest.raises(Cancelled, match="stopped"):
        compare(work(1), work(1), runtime="torch", batch=1, cancelled=cancelled)
    assert calls == 4
    assert compare(work(1), work(1), runtime="torch", batch=1, seconds=0).n_blocks == 12


def test_a_waiting_comparison_can_be_cancelled() -> None:
    with latency._ONE_AT_A_TIME, pytest.raises(Cancelled):
        compare(work(1), work(1), runtime="torch", batch=1, cancelled=lambda: True)


def test_no_threads_are_refused() -> None:
    with pytest.raises(PruningError, match="0 threads"):
        compare(work(1), work(1), runtime="torch", batch=1, threads=0)


def test_the_machine_has_a_name() -> None:
    assert machine().strip()
    assert ":" not in machine()


# Runtimes


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_every_runtime_runs_the_model(name: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    inputs = (torch.randn(4, 6),)
    runtime = RUNTIMES[name]
    call = runtime.prepare(module, inputs)
    result = call()
    output = torch.as_tensor(result[0] if isinstance(result, list) else result)
    with torch.no_grad():
        assert torch.allclose(output, module(*inputs), atol=1e-5)
    assert runtime.label
    with torch.no_grad():
        module[0].weight.zero_()  # what was prepared is a copy
    again = call()
    assert torch.equal(torch.as_tensor(again[0] if isinstance(again, list) else again), output)
