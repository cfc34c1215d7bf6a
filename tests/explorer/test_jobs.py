"""Background work: the queue, sharing, cancelling, failing; and the cells that sweeps leave behind."""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

import pruning_core as pc
from explorer import export_work, jobs, resources, tasks, turns, work
from explorer.jobs import Job
from explorer.present import sweeps
from explorer.settings import SETTINGS
from explorer.tasks import findings
from pruning_core import PruningError, Request
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.readings import READINGS
from pruning_core.sensitivity.tally import Tally

SECONDS = 60.0
LENET = "lenet_300_100"


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No jobs and no curves before and after each test."""
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(work, "_curves", {})
    yield
    for job in list(jobs._jobs.values()):
        job.cancel()
    until(lambda: not any(job.live for job in jobs._jobs.values()))


def until(done: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)


def finished(job: Job) -> Job:
    until(lambda: not job.live)
    return job


class Gate:
    """Work that runs until it is let go or cancelled."""

    def __init__(self) -> None:
        self.open, self.ran = Event(), False

    def __call__(self, job: Job) -> str:
        self.ran = True
        until(lambda: self.open.is_set() or job.cancelled())
        return "done"


def running(key: str) -> tuple[Job, Gate]:
    gate = Gate()
    job = jobs.start(key, key, gate)
    until(lambda: job.state == "running")
    return job, gate


# ---- the queue


def test_one_job_runs_at_a_time_in_the_order_of_asking() -> None:
    order: list[str] = []
    first, gate = running("first")
    others = [jobs.start(name, name, lambda job: order.append(job.title)) for name in ("b", "a", "c")]
    assert [job.state for job in (first, *others)] == ["running", "waiting", "waiting", "waiting"]
    gate.open.set()
    for job in others:
        finished(job)
    assert order == ["b", "a", "c"]
    assert (first.state, first.result) == ("done", "done")


def test_equal_requests_share_a_job_while_it_lives() -> None:
    first, gate = running("sweep")
    assert jobs.start("sweep", "again", gate) is first
    other = jobs.start("another", "", lambda _: None)
    assert other is not first
    gate.open.set()
    finished(first)
    assert jobs.start("sweep", "later", lambda _: None) is not first


def test_a_waiting_job_that_is_cancelled_never_runs() -> None:
    _, gate = running("first")
    never = Gate()
    waiting = jobs.start("second", "", never)
    waiting.cancel()
    assert waiting.state == "stopped"
    gate.open.set()
    finished(jobs.start("third", "", lambda _: None))
    assert not never.ran


def test_a_running_job_that_is_cancelled_stops_and_keeps_its_result() -> None:
    job, _ = running("first")
    job.cancel()
    assert (finished(job).state, job.result) == ("stopped", "done")
    assert job.seconds > 0
    assert finished(jobs.start("next", "", lambda _: "ran")).result == "ran"


def refuse(_: Job) -> None:
    raise PruningError("fc1: there is nothing to prune; raise a sparsity")


def test_a_refusal_becomes_its_sentence() -> None:
    job = finished(jobs.start("x", "", refuse))
    assert (job.state, job.error) == ("failed", "fc1: there is nothing to prune; raise a sparsity")


def test_a_defect_becomes_a_sentence_and_goes_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    job = finished(jobs.start("x", "", lambda _: 1 / 0))
    assert job.state == "failed"
    assert job.error == "a defect stopped this job; the server's log has the details"
    job.wait(SECONDS)  # the log is written after the state
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert finished(jobs.start("y", "", lambda _: "ran")).result == "ran"


def test_jobs_are_found_by_id_and_by_key() -> None:
    job = finished(jobs.start("x", "", lambda _: 1))
    assert jobs.find(job.id) is job
    assert jobs.find("nonsense") is None
    assert jobs.find(None) is None
    again = finished(jobs.start("x", "", lambda _: 2))
    assert jobs.newest("x") is again
    assert jobs.newest("y") is None


def test_the_newest_of_several_is_a_live_one_before_a_finished_one() -> None:
    _, gate = running("sweep 1")
    waiting = jobs.start("sweep 2", "", Gate())
    stopped = jobs.start("sweep 3", "", Gate())
    stopped.cancel()
    assert jobs.newest_of(lambda key: key in ("sweep 2", "sweep 3")) is waiting
    assert jobs.newest_of(lambda key: key == "sweep 3") is stopped
    gate.open.set()


def test_only_the_newest_jobs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS_KEPT", 3)
    made = [finished(jobs.start(k, "", lambda _: None)) for k in range(5)]
    assert [jobs.find(job.id) is not None for job in made] == [False, False, True, True, True]


def test_a_live_job_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS_KEPT", 2)
    first, gate = running("first")
    for k in range(4):
        jobs.start(k, "", lambda _: None)
    assert jobs.find(first.id) is first
    assert jobs.start("first", "", gate) is first
    gate.open.set()


# ---- sweeps


def cell(layer: str, sparsity: float, n: int, lost: int = 0, *, done: bool = True) -> Cell:
    tally = Tally(n=n, correct=n - lost, lost=lost, labelled=True)
    return Cell(layer, sparsity, sparsity, (tally,), state="exact" if done else "preview")


def about(n: int) -> Sweep:
    return Sweep(LENET, "mnist", n, None, None, "fine_grained", "l1", {}, False, (), 0, {})


def known(key: str = "key") -> dict[tuple[str, float], int]:
    return {(cell.layer, cell.sparsity): cell.tally.n for cell in work._curves[key].cells}


def test_cells_of_more_examples_replace_those_of_fewer_and_never_the_other_way_round() -> None:
    work._keep("key", about(2000), (cell("fc1", 0.5, 2000), cell("fc1", 0.7, 2000)))
    work._keep("key", about(64), (cell("fc1", 0.5, 64), cell("fc2", 0.5, 64)))
    assert known() == {("fc1", 0.5): 2000, ("fc1", 0.7): 2000, ("fc2", 0.5): 64}
    work._keep("key", about(512), (cell("fc2", 0.5, 512), cell("fc1", 0.7, 512)))
    assert known() == {("fc1", 0.5): 2000, ("fc1", 0.7): 2000, ("fc2", 0.5): 512}


def test_a_cell_of_as_many_examples_is_the_newer_one() -> None:
    work._keep("key", about(64), (cell("fc1", 0.5, 64, lost=1),))
    work._keep("key", about(64), (cell("fc1", 0.5, 64, lost=2),))
    assert work._curves["key"].cells[0].tally.lost == 2


def test_what_was_swept_is_that_of_most_examples() -> None:
    work._keep("key", about(2000), (cell("fc1", 0.5, 2000),))
    work._keep("key", about(64), (cell("fc1", 0.5, 64),))
    assert work._curves["key"].n_samples == 2000


def test_a_sweep_leaves_its_cells_and_a_second_one_of_fewer_examples_changes_none() -> None:
    request = Request(levels=(0.5, 0.9), samples=200)
    job = finished(work.start_sweep(LENET, "mnist", request))
    assert (job.state, job.error) == ("done", "")
    found = work.curves(LENET, "mnist", request)
    assert found is not None
    assert [(c.layer, c.sparsity, c.tally.n) for c in found.cells] == [
        (name, level, 200) for name in ("fc1", "fc2", "fc3") for level in (0.5, 0.9)
    ]
    assert job.progress.cells_done == job.progress.cells_total == 6
    finished(work.start_sweep(LENET, "mnist", Request(levels=(0.5,), samples=64)))
    again = work.curves(LENET, "mnist", request)
    assert again is not None
    assert set(again.cells) == set(found.cells)


def test_curves_depend_on_the_way_of_pruning_but_not_on_samples_levels_or_layers() -> None:
    finished(work.start_sweep(LENET, "mnist", Request(levels=(0.5,), samples=64, layers=("fc3",))))
    assert work.curves(LENET, "mnist", Request()) is not None
    assert work.curves(LENET, "mnist", Request(criterion="random")) is None
    assert work.curves(LENET, "mnist", Request(granularity="row")) is None
    assert work.curves(LENET, "fashion_mnist", Request()) is None
    assert work.curves("guide_cnn", "mnist", Request()) is None


def test_a_cancelled_sweep_keeps_its_cells() -> None:
    request = Request(levels=(0.3, 0.5, 0.7, 0.9))
    resources.reference("guide_cnn", "mnist")
    job = work.start_sweep("guide_cnn", "mnist", request)
    until(lambda: job.progress is not None)
    job.cancel()
    assert finished(job).state == "stopped"
    found = work.curves("guide_cnn", "mnist", request)
    assert found is not None
    assert found.cells
    assert work.live_sweep("guide_cnn", "mnist") is None
    assert work.last_sweep("guide_cnn", "mnist") is job


def test_a_sweep_that_no_layer_allows_fails_with_a_sentence() -> None:
    job = finished(work.start_sweep(LENET, "mnist", Request(granularity="kernel", samples=64)))
    assert job.state == "failed"
    assert "kernel" in job.error
    assert "defect" not in job.error


# ---- latency and export


def test_a_latency_belongs_to_what_the_plan_prunes_not_to_its_locks() -> None:
    plan = Plan(layers={"fc1": LayerPlan(sparsity=0.5)})
    locked = plan.with_layers({"fc1": {"locked": True}, "fc2": {"criterion": "random"}})
    other = plan.with_layer("fc1", sparsity=0.6)
    keys = [work._latency_key(LENET, "mnist", each) for each in (plan, locked, other)]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_latency_of_a_plan_that_takes_channels_out_is_measured_slimmed_and_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "LATENCY_SECONDS", 0.2)
    hidden = LayerPlan(sparsity=0.9, granularity="output_channel")
    job = work.start_latency(LENET, None, Plan(layers={"fc1": hidden}))
    found = finished(job).result
    assert found.masked is not None
    assert found.smallest.ratio_to_dense < 0.7 < found.masked.ratio_to_dense  # 235,000 of 266,000 weights leave
    zeros = work.start_latency(LENET, None, Plan(layers={"fc1": LayerPlan(sparsity=0.9)}))
    assert finished(zeros).result.masked is None


def test_latency_waits_for_a_sweep() -> None:
    _, gate = running("a sweep")
    job = work.start_latency(LENET, "mnist", Plan())
    assert job.state == "waiting"
    assert work.latency_job(LENET, "mnist", Plan()) is job
    job.cancel()
    gate.open.set()


def test_the_files_of_an_export_go_with_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    job = finished(export_work.start_export(LENET, None, Plan(layers={"fc1": LayerPlan(sparsity=0.5)})))
    folder = job.result.files[0].parent
    assert {"plan.json", "model.onnx"} <= {path.name for path in folder.iterdir()}
    jobs._jobs.clear()
    del job
    gc.collect()
    assert not folder.exists()


def test_a_failed_export_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise PruningError("the disk is full")

    monkeypatch.setattr(tasks.export, "export", refuses)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    job = finished(export_work.start_export(LENET, None, Plan()))
    assert (job.state, job.error) == ("failed", "the disk is full")
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_failed_stands_beside_the_others_until_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_curves", {})
    broken = Cell("fc1", 0.5, 0.5, (), (100,), "failed", why="fc1 at sparsity 0.5: no memory")
    good, about = cell("fc2", 0.5, 100), Sweep(LENET, "mnist", 100, 1.0, 0.0, "row", "l1", {}, True, (), 1.0, {})
    work._keep("key", about, (broken, good))
    assert (work._curves["key"].cells, work._curves["key"].failed) == ((good,), (broken,))
    shown = sweeps.cells(work._curves["key"], READINGS["accuracy"])
    assert shown["fc1", 0.5]["text"] == "fc1 at sparsity 0.5: no memory"
    work._keep("key", about, (cell("fc1", 0.5, 100),))
    assert not work._curves["key"].failed


@pytest.mark.slow
def test_spoiled_norms_are_found_by_the_task_of_the_page() -> None:
    model, dataset = pc.load_model("resnet_fashion"), pc.load_data("fashion_mnist")
    spoiled = deepcopy(model.module)
    with torch.no_grad():
        for name, buffer in spoiled.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.5 * buffer.abs().mean())
    worse = pc.Reference(pc.Model("spoiled", spoiled, model.example_inputs), dataset)
    for reference, said in ((worse, True), (pc.Reference(model, dataset), False)):
        job = jobs.start(("norms", said), "norms", lambda job, r=reference: findings.norms(_Task(r), None))
        job._future.result(60)
        assert (job.result is not None) == said, job.result
        assert not said or "disagree with the data" in job.result


class _Task:
    store, paused_seconds = None, 0.0

    def __init__(self, reference: pc.Reference) -> None:
        self._reference = reference

    def reference(self, subject: object) -> pc.Reference:
        return self._reference

    def cancelled(self) -> bool:
        return False


# ---- a server for a class


def test_a_visitor_of_a_hosted_server_has_a_few_jobs_and_another_has_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    gate = Gate()
    mine = [jobs.start(k, f"job {k}", gate, session="me") for k in range(5)]
    assert [job.state for job in mine[:2]] == ["running", "waiting"]
    assert [job.live for job in mine] == [True] * 4 + [False]
    assert mine[-1].state == "failed"
    assert "4 of your jobs run or wait, as many as jobs_running and jobs_waiting allow" in mine[-1].error
    other = jobs.start("other", "other", gate, session="another")
    assert other.live
    gate.open.set()
    for job in (*mine, other):
        finished(job)
    assert finished(jobs.start("again", "again", gate, session="me")).state == "done"


@pytest.mark.parametrize(("local", "running_at_once"), [(False, 1), (True, 2)])
def test_a_visitor_has_one_place_of_several(monkeypatch: pytest.MonkeyPatch, local: bool, running_at_once: int) -> None:
    monkeypatch.setattr(SETTINGS, "local", local)
    monkeypatch.setattr(turns, "TURNS", turns.Turns(lambda: 2, turns.TURNS._each))
    gate = Gate()
    mine = [jobs.start(k, f"job {k}", gate, session="me") for k in range(3)]
    assert [job.state for job in mine].count("running") == running_at_once
    if not local:
        assert jobs.start("other", "other", gate, session="another").state == "running"
    gate.open.set()
    for job in mine:
        finished(job)
