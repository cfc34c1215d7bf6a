"""Executors: the cells are those of this process bit for bit, whoever measures and whatever becomes of them."""

import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import pruning_core as pc
from pruning_core.errors import UnknownName, WorkersError
from pruning_core.sensitivity import Progress, Sweep
from pruning_core.sensitivity.driver import Driver
from pruning_core.sensitivity.executors import EXECUTORS, executor_for, processes
from pruning_core.sensitivity.executors.packing import packed
from pruning_core.sensitivity.executors.pieces import pieces_of
from pruning_core.sensitivity.executors.processes import Processes
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Task
from tests.kill_sweep import subject
from tests.pruning_core.stand_ins import StandIn, kinds, measured, task_of

ROOT = Path(__file__).parents[2]
REQUEST = pc.Request(levels=(0.2, 0.6, 0.9))


def cut(task: Task, n_workers: int, costs: dict[str, int]) -> list[tuple[int, tuple[tuple[str, float], ...]]]:
    found = pieces_of(task, n_workers, list(costs).index, costs.__getitem__)
    return [(piece.chunk.number, piece.cells) for piece in found]


def test_many_chunks_are_pieces_as_they_are() -> None:
    task = task_of(6, b=(0.5,), a=(0.1, 0.2))  # a stands before b in the graph
    whole = (("a", 0.1), ("a", 0.2), ("b", 0.5))
    assert cut(task, 2, {"a": 1, "b": 1}) == [(number, whole) for number in range(6)]


def test_few_chunks_are_cut_into_layers_of_like_cost() -> None:
    task = task_of(1, a=(0.1, 0.2), b=(0.1, 0.2), c=(0.1, 0.2), d=(0.1, 0.2))
    runs = [{layer for layer, _ in cells} for _, cells in cut(task, 1, {"a": 3, "b": 1, "c": 1, "d": 1})]
    assert runs == [{"a"}, {"b", "c"}, {"d"}] or runs == [{"a"}, {"b"}, {"c", "d"}]
    assert cut(task_of(1, a=(0.1,)), 8, {"a": 1}) == [(0, (("a", 0.1),))]


@pytest.mark.parametrize("n_workers", [1, 2, 7])
@pytest.mark.parametrize("n_chunks", [1, 2, 5])
def test_pieces_are_the_task_once(n_workers: int, n_chunks: int) -> None:
    costs = {f"layer{i}": 50 - i for i in range(11)}
    task = task_of(n_chunks, **dict.fromkeys(costs, (0.1, 0.5, 0.9)))
    task = replace(task, choice={"0": "torch"})
    found = pieces_of(task, n_workers, list(costs).index, costs.__getitem__)
    assert [piece.task.choice for piece in found] == [task.choice] * len(found)
    parts = [(piece.chunk.number, *cell) for piece in found for cell in piece.cells]
    assert len(parts) == len(set(parts)) == n_chunks * 11 * 3
    tasks = [(chunk.number, layer, level) for piece in found for chunk in piece.task.chunks
             for layer, levels in piece.task.cells.items() for level in levels]  # fmt: skip
    assert tasks == parts


def test_a_piece_loses_cells_and_says_which_fail() -> None:
    (piece,) = pieces_of(task_of(1, a=(0.1, 0.2)), 1, ["a"].index, {"a": 1}.__getitem__)
    assert piece.without([("a", 0.1)]).task.cells == {"a": (0.2,)}
    assert not piece.without(piece.cells)
    assert [single.cells for single in piece.singly()] == [(("a", 0.1),), (("a", 0.2),)]
    failed = piece.failed(("a", 0.2), "no luck")
    assert (failed.layer, failed.sparsity, failed.block, failed.error) == ("a", 0.2, 1, "a at sparsity 0.2: no luck")


def test_an_executor_is_chosen_by_what_is_asked_for() -> None:
    assert sorted(EXECUTORS) == ["dask", "in_process", "processes"]
    with pytest.raises(UnknownName, match="unknown executor 'ray'"):
        EXECUTORS["ray"]


@pytest.fixture(scope="module")
def model_and_data() -> tuple[pc.Model, pc.EvalData]:
    return subject()


@pytest.fixture
def expected(model_and_data: tuple[pc.Model, pc.EvalData], monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """The sweep in this process; others use the evaluator that it uses, not what is fastest just then."""
    monkeypatch.setattr(Driver, "_choice", lambda *_: {"0": "onednn"})
    return pc.sweep(*model_and_data, REQUEST)


@contextmanager
def two_processes(**deeds: str) -> Iterator[Processes]:
    """Two processes that stand in for real ones: what they do at a layer is said by its deed."""
    pool = Processes(pickle.dumps((1, StandIn(deeds))), StandIn(deeds), 2)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        pool.close()


def never() -> bool:
    return False


@pytest.mark.slow
def test_processes_that_die_are_replaced_and_what_they_had_is_measured_once() -> None:
    task = task_of(4, a=(0.1, 0.2), b=(0.1, 0.2), c=(0.1,))
    with two_processes(b="dies the first time") as pool:
        found = list(pool.run(task, never))
        assert len(found) == len(set(found)) == 4 * 5
        assert set(found) == measured(task)
        pids = [child.process.pid for child in pool._children]
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.slow
def test_a_cell_that_kills_is_given_up_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    make = processes.Child
    monkeypatch.setattr(processes, "Child", lambda *given: started.append(make(*given)) or started[-1])
    task = task_of(3, a=(0.1, 0.2), b=(0.1,), c=(0.1,))
    with two_processes(b="dies") as pool:
        for _ in range(2):  # asked again, nothing dies any more
            fine, failed = kinds(list(pool.run(task, never)))
            assert fine == {result for result in measured(task) if result.layer != "b"}
            why = "b at sparsity 0.1: 3 processes that measure have ended killed, most often because memory ran out"
            assert failed == {("b", 0.1): {why}}
        assert len(started) in (5, 6)  # two at first; a second piece may have reached the cell before it was given up


@pytest.mark.slow
def test_a_sweep_is_cancelled_within_two_seconds_whatever_the_processes_do() -> None:
    with two_processes(a="sleeps") as pool:
        while not all(child.is_ready for child in pool._children):
            list(pool._take(*pool._answers.get(), deque()))
        asked = time.monotonic()
        assert list(pool.run(task_of(2, a=(0.1,)), lambda: time.monotonic() > asked + 0.5)) == []
        assert time.monotonic() - asked < 2.5
        task = task_of(2, b=(0.1,))
        assert set(pool.run(task, never)) == measured(task)  # nothing of what was cancelled comes late


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["dies at birth", "is not known", "has a defect"])
def test_processes_that_cannot_measure_say_why(deed: str) -> None:
    task = task_of(1, a=(0.1,))
    reasons = {
        "dies at birth": (
            WorkersError,
            "3 processes that measure have ended with code 7 while they started; measure in",
        ),
        "is not known": (WorkersError, "the model's classes are not known to the processes that measure .No module"),
        "has a defect": (RuntimeError, "ZeroDivisionError"),
    }
    kind, reason = reasons[deed]
    with two_processes(birth=deed) as pool, pytest.raises(kind, match=reason):
        list(pool.run(task, never))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_asked_however_that_ends(how: signal.Signals) -> None:
    program = "from tests.pruning_core.stand_ins import wait_with_two_processes; wait_with_two_processes()"
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    parent.send_signal(how)
    try:
        parent.wait(30)
    finally:
        parent.kill()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in pids)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for long to be buried by the system."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_model_that_cannot_be_sent_is_refused(model_and_data: tuple[pc.Model, pc.EvalData]) -> None:
    model, data = model_and_data
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 5))
    module.note = lambda: None  # type: ignore[assignment]
    recipe = Recipe(pc.Model("own", module, model.example_inputs), data, None, REQUEST)
    with pytest.raises(WorkersError, match=r"'own' cannot be sent to other processes .*; measure in this process"):
        packed(recipe)


def test_what_is_sent_has_calibration_data_only_where_they_are_needed(
    model_and_data: tuple[pc.Model, pc.EvalData],
) -> None:
    model, data = model_and_data
    others = replace(data, inputs=data.inputs + 1)
    sizes = [len(packed(Recipe(model, data, others, replace(REQUEST, criterion=c)))) for c in ("l1", "taylor")]
    assert sizes[1] - sizes[0] > data.inputs.nbytes * 0.9


@pytest.mark.slow
def test_two_processes_measure_the_same_even_when_one_is_killed(
    model_and_data: tuple[pc.Model, pc.EvalData], expected: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[processes.Child] = []
    make = processes.Child
    monkeypatch.setattr(processes, "Child", lambda *given: started.append(make(*given)) or started[-1])

    def kill_one(_: Progress) -> None:
        if len(started) == 2:
            started[0].process.kill()

    found = pc.sweep(*model_and_data, REQUEST, executor=executor_for(2), on_progress=kill_one)
    assert (found.cells, found.dense, found.failed, found.notices) == (expected.cells, expected.dense, (), ())
    assert len(started) == 3
