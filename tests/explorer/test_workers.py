"""Worker processes: what they are told and tell, that they stop, die, are replaced, and end with the server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import pytest

import pruning_core as pc
from explorer import jobs, resources, runs, state, turns, work, worker, workers
from explorer.job import Job
from explorer.settings import SETTINGS
from explorer.turns import Turns
from explorer.worker import Defect, Died
from explorer.workers import Pool
from pruning_core import PruningError, Request
from pruning_core.errors import Cancelled
from tests.explorer import child_tasks

SECONDS = 60.0
STOPPED = 2.0  # seconds until a task has stopped, whatever it does
LIGHT = "import sys; sys.path[:] = {path!r}; from tests.explorer.child_tasks import light; light()"


class Wishes:
    """What a test wishes of a task."""

    def __init__(self) -> None:
        self.stop, self.held, self.stood = Event(), 0, Event()

    def cancelled(self) -> bool:
        return self.stop.is_set()

    def stand(self, hold: int) -> None:
        assert hold == self.held
        self.stood.set()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Workers that load nothing."""
    monkeypatch.setattr(worker, "PROGRAM", LIGHT)
    made = Pool()
    yield made
    close(made)


def close(pool: Pool) -> None:
    processes = [worker.process for worker in pool._all]
    pool.close()
    for process in processes:
        process.wait(SECONDS)
        until(lambda process=process: process.stdout.closed)  # the thread that listens has seen it


def until(done: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)


def run(pool: Pool, function: Any, *arguments: Any, **more: Any) -> Any:
    return pool.run(Wishes(), function, arguments, lambda _: None, **more)


class Beside:
    """A task followed by another thread."""

    def __init__(self, pool: Pool, function: Any, *arguments: Any) -> None:
        self.wishes, self.batches, self.outcome = Wishes(), list[Sequence[Any]](), list[Any]()
        self._arguments = (pool, function, arguments)
        self._thread = Thread(target=self._run)
        self._thread.start()
        until(lambda: self.batches or self.outcome)

    def _run(self) -> None:
        pool, function, arguments = self._arguments
        try:
            self.outcome.append(pool.run(self.wishes, function, arguments, self.batches.append))
        except Exception as error:
            self.outcome.append(error)

    @property
    def notes(self) -> list[Any]:
        return [note for batch in self.batches for note in batch]

    def end(self) -> Any:
        self._thread.join(SECONDS)
        return self.outcome[0]


# ---- tasks and answers


def test_one_process_runs_one_task_after_the_other_and_steps_back(pool: Pool) -> None:
    first = run(pool, child_tasks.process)
    assert first == run(pool, child_tasks.process) != os.getpid()
    assert run(pool, child_tasks.niceness) == os.nice(0) + 5
    assert len(pool._all) == 1


def test_tasks_at_the_same_time_have_processes_of_their_own(pool: Pool) -> None:
    beside = Beside(pool, child_tasks.counted, 1000, 0.01)
    here = run(pool, child_tasks.process)
    assert here == next(worker for worker in pool._idle).process.pid
    beside.wishes.stop.set()
    beside.end()
    assert len(pool._all) == len(pool._idle) == 2


def test_progress_comes_in_order_in_few_messages(pool: Pool) -> None:
    batches: list[Sequence[int]] = []
    started = time.monotonic()
    assert pool.run(Wishes(), child_tasks.counted, (200, 0.002), batches.append) == (200, 0.0)
    assert [note for batch in batches for note in batch] == list(range(200))
    assert len(batches) <= 20 * (time.monotonic() - started) + 2


def test_what_a_task_prints_does_not_disturb(pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(pool, child_tasks.chatty, {"a": b"b"}) == {"a": b"b"}
    assert capfd.readouterr() == ("", "something for the log\nand more\n")


def test_a_refusal_is_its_sentence_and_a_defect_goes_to_the_log(pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PruningError, match="fc1: there is nothing to prune; raise a sparsity"):
        run(pool, child_tasks.refused)
    for function in (child_tasks.broken, child_tasks.not_data):
        with pytest.raises(Defect):
            run(pool, function)
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert run(pool, child_tasks.chatty, "alive") == "alive"
    assert len(pool._all) == 1


def test_what_does_not_pickle_is_refused_in_one_sentence(pool: Pool) -> None:
    sentence = r"^chatty cannot go to a worker process: .*pickle.*; use a function of a module and plain data$"
    for value in (Lock(), lambda: None):
        with pytest.raises(PruningError, match=sentence):
            run(pool, child_tasks.chatty, value)
    with pytest.raises(PruningError, match=r"^<lambda> cannot go to a worker process; use a function of a module"):
        run(pool, lambda task: None)
    assert run(pool, child_tasks.chatty, 1) == 1
    assert len(pool._all) == 1


# ---- stopping


def test_a_task_that_looks_up_is_stopped_and_its_process_stays(pool: Pool) -> None:
    task = Beside(pool, child_tasks.counted, 10_000, 0.01)
    task.wishes.stop.set()
    n, _ = task.end()
    assert n < 10_000
    assert run(pool, child_tasks.process) == pool._all[0].process.pid
    assert len(pool._all) == 1


def test_a_task_that_ignores_the_wish_is_killed_within_two_seconds_and_its_process_replaced(pool: Pool) -> None:
    task = Beside(pool, child_tasks.stubborn)
    before = pool._all[0].process
    started = time.monotonic()
    task.wishes.stop.set()
    assert isinstance(task.end(), Cancelled)
    assert time.monotonic() - started < STOPPED
    assert before.wait(SECONDS) == -signal.SIGKILL
    assert len(pool._all) == len(pool._idle) == 1, "a warm one waits for the next task"
    assert run(pool, child_tasks.process) != before.pid


def test_a_task_that_is_stopped_while_it_loads_ends_at_once_and_what_it_loads_is_kept(
    pool: Pool, tmp_path: Path
) -> None:
    task = Beside(pool, child_tasks.loading, 0.5, tmp_path / "log")
    task.wishes.stop.set()
    started = time.monotonic()
    assert isinstance(task.end(), Cancelled)
    assert time.monotonic() - started < 0.3
    assert run(pool, child_tasks.process) == pool._all[0].process.pid, "the next task waits for the same process"
    assert not (tmp_path / "log").exists()
    assert len(pool._all) == 1


def test_a_task_that_is_stopped_before_it_begins_never_runs(pool: Pool, tmp_path: Path) -> None:
    first = Beside(pool, child_tasks.loading, 0.5, tmp_path / "first")
    first.wishes.stop.set()
    first.end()
    wishes = Wishes()
    wishes.stop.set()
    with pytest.raises(Cancelled):
        pool.run(wishes, child_tasks.dying, (tmp_path / "second", 0), lambda _: None)
    assert run(pool, child_tasks.chatty, 1) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_task_behind_one_that_loads_for_ever_is_begun_in_another_process(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEGIN_SECONDS", 0.5)
    first = Beside(pool, child_tasks.loading, 3600.0, tmp_path / "first")
    first.wishes.stop.set()
    first.end()
    before = pool._all[0].process
    assert run(pool, child_tasks.process) != before.pid
    assert before.wait(SECONDS) == -signal.SIGKILL


def test_a_task_stands_and_goes_on_and_the_time_it_stood_is_known(pool: Pool) -> None:
    task = Beside(pool, child_tasks.counted, 40, 0.01)
    task.wishes.held = 1
    assert task.wishes.stood.wait(SECONDS)
    n = len(task.notes)
    time.sleep(0.4)
    assert len(task.notes) <= n + 1, "one note may have been on its way"
    task.wishes.held = 0
    counted, stood = task.end()
    assert counted == 40
    assert 0.35 < stood < 10
    assert task.notes == list(range(40))


def test_a_task_that_stands_can_be_stopped(pool: Pool) -> None:
    task = Beside(pool, child_tasks.counted, 10_000, 0.01)
    task.wishes.held = 7
    assert task.wishes.stood.wait(SECONDS)
    task.wishes.stop.set()
    assert task.end()[0] < 10_000


def test_a_task_that_nobody_follows_any_more_is_killed(pool: Pool) -> None:
    def refuse(_: Sequence[Any]) -> None:
        raise KeyError("a defect of the server")

    with pytest.raises(KeyError):
        pool.run(Wishes(), child_tasks.counted, (10_000, 0.01), refuse)
    until(lambda: run(pool, child_tasks.chatty, 1) == 1)
    assert len(pool._all) == 1


def test_a_long_sweep_makes_room_for_another_session_and_goes_on_where_it_was(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "POOL", pool)
    monkeypatch.setattr(runs, "SLICE", 0.2)
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(turns, "TURNS", Turns(lambda: 1))
    monkeypatch.setattr(SETTINGS, "workers", 1)

    def ask(name: str, n: int) -> jobs.Job:
        def sweep(job: jobs.Job) -> Any:
            return job.run(child_tasks.resumed, tmp_path / name, n, resumable=True)

        return jobs.start(name, name, sweep, session=name[0])

    first = ask("a1", 300)
    until(lambda: first.progress)
    own = ask("a2", 3)
    time.sleep(0.4)
    assert own.state == "waiting", "one session's sweeps wait for each other"
    short = ask("b1", 60)
    short.wait(SECONDS)
    assert (short.result, first.state) == (60, "running")
    assert first.progress < 299
    for job in (first, own):
        job.wait(SECONDS)
        assert (job.state, job.error) == ("done", "")
    assert (first.result, own.result) == (300, 3)


# ---- dying


def test_a_task_whose_process_dies_is_begun_anew_up_to_three_times(pool: Pool, tmp_path: Path) -> None:
    assert run(pool, child_tasks.dying, tmp_path / "a", 3, resumable=True) == 4
    with pytest.raises(Died, match=r"^its worker process was killed, most often because memory ran out; ask for fewer"):
        run(pool, child_tasks.dying, tmp_path / "b", 4, resumable=True)
    assert len((tmp_path / "b").read_text().splitlines()) == 4
    with pytest.raises(Died):
        run(pool, child_tasks.dying, tmp_path / "c", 1)
    assert len((tmp_path / "c").read_text().splitlines()) == 1


@pytest.mark.parametrize(("code", "words"), [(-11, "by signal 11"), (3, "with code 3")])
def test_how_a_process_ended_is_said(code: int, words: str) -> None:
    assert worker._how_it_ended(code) == (
        f"its worker process ended {words} in the middle of the work; the server's log may say why"
    )


def test_a_process_that_died_idle_is_not_used(pool: Pool) -> None:
    first = run(pool, child_tasks.process)
    os.kill(first, signal.SIGKILL)
    until(lambda: not pool._all[0].alive)
    assert run(pool, child_tasks.process) != first


def test_a_second_worker_that_idles_for_long_is_ended(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Beside(pool, child_tasks.counted, 10_000, 0.01)
    run(pool, child_tasks.process)
    pool.warm()
    assert len(pool._all) == 2
    monkeypatch.setattr(workers, "SPARE_SECONDS", 0.0)
    spare = pool._idle[0].process
    pool.warm()
    assert spare.wait(SECONDS) == -signal.SIGKILL
    task.wishes.stop.set()
    task.end()
    pool.warm()
    assert len(pool._all) == len(pool._idle) == 1, "the last one stays"


def test_a_warm_pool_has_one_process_and_a_closed_one_none(pool: Pool) -> None:
    pool.warm()
    pool.warm()
    (process,) = [each.process for each in pool._all]
    task = Beside(pool, child_tasks.counted, 10_000, 0.01)
    pool.close()
    assert isinstance(task.end(), Died)
    assert process.wait(SECONDS) == -signal.SIGKILL
    assert pool._all == []


def test_an_interrupt_of_the_terminal_does_not_reach_a_task(pool: Pool) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits none
    try:
        task = Beside(pool, child_tasks.counted, 20, 0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    os.kill(pool._all[0].process.pid, signal.SIGINT)
    assert task.end()[0] == 20


SERVER = """
import signal, sys; sys.path[:] = {path!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
from threading import Event, Thread
from explorer import worker, workers
from tests.explorer import child_tasks
class Wishes:
    held = 0
    def cancelled(self): return False
worker.PROGRAM = {light!r}
print_ = lambda batch: (print(pool._all[0].process.pid), sys.stdout.flush())
pool = workers.Pool()
Thread(target=pool.run, args=(Wishes(), child_tasks.stubborn, (), print_), daemon=True).start()
Event().wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_server_however_that_ends(how: signal.Signals) -> None:
    code = SERVER.format(path=sys.path, light=LIGHT)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        assert is_there(child)
        server.send_signal(how)
        try:
            server.wait(SECONDS)
        finally:
            server.kill()
        ended = time.monotonic()
        until(lambda: not is_there(child))
        assert time.monotonic() - ended < STOPPED


def is_there(process: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- the real thing


@pytest.mark.slow
def test_a_sweep_in_a_worker_finds_what_a_sweep_here_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNING_EXPLORER_DATA", str(tmp_path))
    monkeypatch.setattr(jobs, "_jobs", {})
    request, found = Request(levels=(0.5, 0.9), samples=200), []
    real = Pool()
    monkeypatch.setattr(workers, "POOL", real)
    for n_workers in (0, 1, 1):  # the second in the worker finds all in the store
        monkeypatch.setattr(work, "_curves", {})
        monkeypatch.setattr(SETTINGS, "workers", n_workers)
        job = work.start_sweep("lenet_300_100", "mnist", request)
        until(lambda job=job: not job.live)
        assert (job.state, job.error) == ("done", "")
        assert job.progress.cells_done == job.progress.cells_total == 6
        found.append((job.result.cells, work.curves("lenet_300_100", "mnist", request)))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[0][1].cells == found[1][1].cells
    assert (tmp_path / "sweeps.sqlite").exists()
    assert run(real, child_tasks.threads_and_streamlit) == (1, False)
    close(real)


@pytest.mark.slow
def test_a_sweep_that_made_room_ends_with_the_cells_of_an_undisturbed_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRUNING_EXPLORER_DATA", str(tmp_path))
    real = Pool()
    monkeypatch.setattr(workers, "POOL", real)
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(turns, "TURNS", Turns(lambda: 1))
    monkeypatch.setattr(work, "_curves", {})
    monkeypatch.setattr(runs, "SLICE", 0.05)  # a whole sweep takes less than half a second
    monkeypatch.setattr(SETTINGS, "workers", 1)
    names = iter("ab")
    monkeypatch.setattr(state, "session", lambda: next(names))
    made_room: list[Job] = []
    wait_for_turn = Job.wait_for_turn
    monkeypatch.setattr(Job, "wait_for_turn", lambda job: made_room.append(job) or wait_for_turn(job))
    requests = [Request(criterion=name, levels=(0.3, 0.6, 0.9), exact=True) for name in ("l1", "l2")]
    sweeps = [work.start_sweep("lenet_300_100", "mnist", request) for request in requests]
    for job in sweeps:
        job.wait(SECONDS)
        assert (job.state, job.error) == ("done", "")
    assert sweeps[0] in made_room, "the second session waited for the end of the first one's sweep"
    reference = resources.reference("lenet_300_100", "mnist")
    undisturbed = pc.sweep(reference.model, reference.dataset.validation, requests[0])  # type: ignore[union-attr]
    assert sweeps[0].result.cells == undisturbed.cells
    close(real)


@pytest.mark.slow
def test_data_that_changed_since_the_app_opened_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from explorer.loading import Shelf
    from pruning_core.errors import DataError

    subject = resources.subject("lenet_300_100", "mnist")
    shelf = Shelf(1)
    assert shelf.reference(subject) is shelf.reference(subject)
    with pytest.raises(DataError, match="'lenet_300_100' or 'mnist' has changed since the app opened it"):
        shelf.reference(replace(subject, hashes=(subject.hashes[0], "another")))
