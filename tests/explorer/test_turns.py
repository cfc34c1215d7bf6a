"""Whose turn it is: fairness between sessions, short work before sweeps, sweeps that stand, timing alone."""

import time
from collections.abc import Callable, Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from explorer import actions, jobs, runs, state, turns
from explorer.jobs import ALONE, INTERACTIVE, SWEEP, Job
from explorer.settings import SETTINGS
from explorer.tasks.fit import Step
from pruning_core.errors import Cancelled
from pruning_core.sensitivity.cells import Cell
from pruning_core.sensitivity.request import Progress

SECONDS = 60.0
SOON = 0.15  # seconds in which what must not happen would have happened


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No jobs of other tests, and no memory of whose turn it was."""
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(turns, "TURNS", turns.Turns(lambda: max(1, SETTINGS.workers)))
    yield
    for job in list(jobs._jobs.values()):
        job.cancel()
        job.wait(SECONDS)


def until(done: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.002)


class Gate:
    """Work that begins and runs until it is let go."""

    def __init__(self) -> None:
        self.open = Event()

    def __call__(self, job: Job) -> None:
        until(lambda: self.open.is_set() or job.cancelled())


def started(name: str, lane: str = SWEEP, session: str = "") -> tuple[Job, Gate]:
    gate = Gate()
    return jobs.start(name, name, gate, lane=lane, session=session), gate


def cells(task: Any) -> int:
    """Measure one cell after the other for ever."""
    n = 0
    while not task.cancelled():
        n += 1
        task.note(n)
        time.sleep(0.002)
    return n


def sweeping(name: str = "sweep", session: str = "") -> Job:
    job = jobs.start(name, name, lambda job: job.run(cells), session=session)
    until(lambda: job.progress)
    return job


# ---- fairness


def test_sessions_take_turns_however_much_one_of_them_asks_for() -> None:
    order: list[str] = []
    _, gate = started("a1", session="a")
    for name in ("a2", "a3", "b1", "b2", "c1"):
        jobs.start(name, name, lambda job: order.append(job.title), session=name[0])
    gate.open.set()
    until(lambda: len(order) == 5)
    assert order == ["b1", "c1", "a2", "b2", "a3"]


def test_a_job_that_two_sessions_ask_for_comes_when_it_is_either_ones_turn() -> None:
    order: list[str] = []
    _, gate = started("a1", session="a")
    ask: Any = {"work": lambda job: order.append(job.title)}
    jobs.start("a2", "a2", **ask, session="a")
    shared = jobs.start("a3", "a3", **ask, session="a")
    assert jobs.start("a3", "a3", **ask, session="b") is shared
    gate.open.set()
    until(lambda: len(order) == 2)
    assert order == ["a3", "a2"]


def test_only_so_many_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SESSIONS_KEPT", 2)
    for session in "abc":
        job = jobs.start(session, session, lambda _: None, session=session)
        job.wait(SECONDS)
    assert list(turns.TURNS._served) == ["b", "c"]


def test_more_workers_run_more_sweeps_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = turns.Turns(lambda: 2)
    monkeypatch.setattr(turns, "TURNS", made)
    states = [started(name)[0].state for name in "abc"]
    assert states == ["running", "running", "waiting"]


# ---- short work before sweeps


def test_interactive_work_begins_at_once_and_the_sweep_stands_until_it_is_done() -> None:
    sweep = sweeping()
    quick, gate = started("export", INTERACTIVE)
    assert quick.state == "running"
    until(lambda: sweep.standing)
    n = sweep.progress
    time.sleep(SOON)
    assert (sweep.progress, sweep.state) == (n, "running")
    gate.open.set()
    until(lambda: sweep.progress > n)
    assert not sweep.standing


def test_interactive_work_runs_one_at_a_time_and_before_sweeps_that_wait() -> None:
    order: list[str] = []
    _, gate = started("first", INTERACTIVE)
    for name, lane in (("sweep", SWEEP), ("second", INTERACTIVE)):
        jobs.start(name, name, lambda job: order.append(job.title), lane=lane)
    time.sleep(SOON)
    assert order == []
    gate.open.set()
    until(lambda: len(order) == 2)
    assert order == ["second", "sweep"]


def test_seconds_that_a_sweep_stood_are_not_counted() -> None:
    sweep = sweeping()
    started_at = time.perf_counter()
    _, gate = started("export", INTERACTIVE)
    until(lambda: sweep.standing)
    time.sleep(0.5)
    gate.open.set()
    until(lambda: not sweep.standing)
    sweep.cancel()
    sweep.wait(SECONDS)
    assert sweep.seconds < time.perf_counter() - started_at - 0.4


def test_a_task_here_says_how_long_it_stood() -> None:
    def timed(task: Any) -> float:
        while not task.cancelled():
            task.note(1)
            time.sleep(0.002)
        return float(task.paused_seconds)

    sweep = jobs.start("sweep", "", lambda job: job.run(timed))
    until(lambda: sweep.progress)
    _, gate = started("export", INTERACTIVE)
    until(lambda: sweep.standing)
    time.sleep(0.3)
    gate.open.set()
    until(lambda: not sweep.standing)
    sweep.cancel()
    sweep.wait(SECONDS)
    assert 0.25 < sweep.result < 5


def test_a_sweep_that_stands_can_be_stopped() -> None:
    sweep = sweeping()
    started("export", INTERACTIVE)
    until(lambda: sweep.standing)
    sweep.cancel()
    sweep.wait(SECONDS)
    assert sweep.state == "stopped"


# ---- timing alone


def test_timing_begins_when_every_sweep_stands_and_nothing_begins_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURNS", turns.Turns(lambda: 3))
    sweeps = [sweeping("one"), sweeping("two")]
    assert not jobs.is_timing()
    timing, gate = started("latency", ALONE)
    until(lambda: timing.state == "running")
    assert all(sweep.standing for sweep in sweeps)
    assert jobs.is_timing()
    with monkeypatch.context() as patch:
        patch.setattr(turns, "PAGES_WAIT", 0.0)
        assert not jobs.is_timing(), "pages do not wait for minutes"
    others = [started("export", INTERACTIVE)[0], started("three", SWEEP)[0]]
    seen = [sweep.progress for sweep in sweeps]
    time.sleep(SOON)
    assert [job.state for job in others] == ["waiting", "waiting"]
    assert [sweep.progress for sweep in sweeps] == seen
    gate.open.set()
    until(lambda: others[0].state == "running")
    assert not jobs.is_timing()


def test_timing_waits_for_work_that_cannot_stand() -> None:
    sweep, gate = started("sweep")
    timing, _ = started("latency", ALONE)
    time.sleep(SOON)
    assert timing.state == "waiting"
    gate.open.set()
    until(lambda: timing.state == "running")
    assert sweep.state == "done"


def test_a_sweep_that_is_held_again_before_it_went_on_stands_anew() -> None:
    sweep = sweeping()
    for _ in range(20):
        timing, gate = started("latency", ALONE)
        until(lambda timing=timing: timing.state == "running")
        n = sweep.progress
        time.sleep(0.003)
        assert sweep.progress <= n + 1, "the sweep measured beside the timing"
        gate.open.set()
        timing.wait(SECONDS)


# ---- work in two lanes


def test_a_job_moves_on_to_another_lane_and_makes_room_in_the_first() -> None:
    gate, alone = Gate(), Gate()

    def fit(job: Job) -> str:
        gate(job)
        job.move_to(ALONE)
        alone(job)
        return "fitted"

    job = jobs.start("fit", "Fit", fit)
    later, _ = started("sweep")
    assert later.state == "waiting"
    quick, quick_gate = started("export", INTERACTIVE)
    gate.open.set()
    time.sleep(SOON)
    assert not jobs.is_timing()
    quick_gate.open.set()
    until(jobs.is_timing)
    assert (quick.state, later.state) == ("done", "waiting")
    alone.open.set()
    job.wait(SECONDS)
    assert job.result == "fitted"
    until(lambda: later.state == "running")


def test_a_job_that_is_stopped_while_it_waits_for_its_second_turn_ends() -> None:
    ended: list[str] = []

    def fit(job: Job) -> None:
        try:
            job.move_to(INTERACTIVE)
        except Cancelled as error:
            ended.append(str(error))
            raise

    started("export", INTERACTIVE)
    gate = Gate()
    job = jobs.start("fit", "Fit of x", lambda job: (gate(job), fit(job)), lane=SWEEP)
    assert job.state == "waiting"
    jobs.newest("export").cancel()  # type: ignore[union-attr]
    until(lambda: job.state == "running")
    started("latency", ALONE)
    gate.open.set()
    until(lambda: job.lane == INTERACTIVE)
    job.cancel()
    job.wait(SECONDS)
    assert (job.state, ended) == ("stopped", ["Fit of x was stopped"])


def test_pages_leave_the_processor_to_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    refined: list[float] = []

    def refine(seconds: float) -> SimpleNamespace:
        refined.append(seconds)
        return SimpleNamespace(done=False)

    monkeypatch.setattr(state, "workbench", lambda: SimpleNamespace(dataset=object(), refine=refine))
    monkeypatch.setattr(state, "current", lambda: SimpleNamespace(model="m", data="d"))
    monkeypatch.setattr(state, "sent", lambda *_: True)
    timing, gate = started("latency", ALONE)
    actions.headline_tick()
    assert refined == []
    gate.open.set()
    timing.wait(SECONDS)
    until(lambda: not jobs.is_timing())
    actions.headline_tick()
    assert refined == [actions.REFINE_SECONDS]


def test_progress_of_any_kind_begins_a_slice_and_only_what_a_sweep_recalls_does_not() -> None:
    heard: list[Any] = []
    cell = Cell("fc1", 0.5, 0.5, ())
    for progress, begins in ((Step("Choosing"), True), (0.5, True), (Progress(cell, 0.4, 1.0, 0, 1, 0.4), False)):
        one = runs.Slice(Job(("slice",), "Slice"), heard.extend, resumable=True)
        one.note([progress])
        assert (one._first is not None) == begins, progress
    assert len(heard) == 3
