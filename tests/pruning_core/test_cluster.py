"""The Dask executor on clusters of this machine: equal cells, dead workers, cells that kill, clusters that are gone."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import dask.config
import pytest
from distributed import LocalCluster

import pruning_core as pc
from pruning_core.errors import WorkersError
from pruning_core.sensitivity import Progress
from pruning_core.sensitivity.driver import Driver
from pruning_core.sensitivity.executors import cluster, executor_for, watch
from pruning_core.sensitivity.executors.cluster import Cluster, _connected
from tests.kill_sweep import subject
from tests.pruning_core.stand_ins import StandIn, kinds, measured, task_of

REQUEST = pc.Request(levels=(0.2, 0.6, 0.9))
pytestmark = [pytest.mark.slow]


def local_cluster(n_workers: int) -> LocalCluster:
    """Workers of this machine, each a process with one thread."""
    return LocalCluster(n_workers=n_workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")


@pytest.fixture(scope="module", autouse=True)
def _no_main() -> Iterator[None]:
    """Streamlit's tests leave their script as the main module, and each new process of Dask would run it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        yield


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with local_cluster(2) as machines:
        yield machines.scheduler_address


@contextmanager
def workers_at(address: str, n_workers: int = 2, **deeds: str) -> Iterator[Cluster]:
    """Workers that stand in for real ones: what they do at a layer is said by its deed."""
    content, stand_in = pickle.dumps((1, StandIn(deeds))), StandIn(deeds)
    with _connected(address) as client:
        client.wait_for_workers(n_workers, timeout=120)  # one that was killed in another test may not be back
        with Cluster(client, address, content, stand_in) as found:  # type: ignore[arg-type]
            yield found


def test_a_cluster_measures_the_same_even_when_a_worker_is_killed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Driver, "_choice", lambda *_: {"0": "onednn"})
    model, data = subject()
    expected = pc.sweep(model, data, REQUEST)
    killed: list[int] = []

    def kill_one(_: Progress) -> None:
        if not killed:
            with _connected(address) as client:
                killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    found = pc.sweep(model, data, REQUEST, executor=executor_for(cluster=address), on_progress=kill_one)
    assert len(killed) == 1
    assert (found.cells, found.dense, found.failed, found.notices) == (expected.cells, expected.dense, (), ())


def test_a_cell_that_kills_is_given_up_and_the_others_go_on(address: str) -> None:
    task = task_of(2, a=(0.1, 0.2), b=(0.1,), c=(0.1,))
    with workers_at(address, b="dies") as workers:
        fine, failed = kinds(list(workers.run(task, lambda: False)))
    assert fine == {result for result in measured(task) if result.layer != "b"}
    why = "b at sparsity 0.1: its worker ended 4 times, most often because memory ran out"
    assert failed == {("b", 0.1): {why}}


def test_a_cancelled_sweep_ends_within_two_seconds_and_its_workers_are_free_soon(address: str) -> None:
    with workers_at(address, a="sleeps a little") as workers:
        asked = time.monotonic()
        levels = tuple(i / 1000 for i in range(900))
        list(workers.run(task_of(2, a=levels), lambda: time.monotonic() > asked + 0.5))
    assert time.monotonic() - asked < 2.5
    task = task_of(2, b=(0.1,))
    with workers_at(address) as workers:
        began = time.monotonic()  # one that was killed in another test may have come back only now
        assert set(workers.run(task, lambda: False)) == measured(task)
        assert time.monotonic() - began < 15  # the pieces that were begun would take 30 seconds


def test_a_cluster_that_goes_away_leaves_the_cells_and_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = local_cluster(1)
    address = machines.scheduler_address
    seen: list[Progress] = []

    def close(progress: Progress) -> None:
        if not seen:
            machines.close()
        seen.append(progress)

    found = pc.sweep(*subject(), REQUEST, executor=executor_for(cluster=address), on_progress=close)
    (notice,) = found.notices
    assert notice == (
        f"the Dask cluster at '{address}' is gone or has no workers left; start it and then the sweep again, "
        "which keeps what was measured"
    )
    assert found.cells
    assert {cell.state for cell in found.cells} == {"preview"}


def test_clusters_that_are_not_there_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    sweep = lambda address: pc.sweep(*subject(), REQUEST, executor=executor_for(cluster=address))  # noqa: E731
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:99999"):
        with pytest.raises(
            WorkersError, match=f"no Dask scheduler answers at '{address}' .*; start one, or measure in"
        ):
            sweep(address)
    with (
        local_cluster(0) as machines,
        pytest.raises(WorkersError, match="has no workers; start some with 'dask worker"),
    ):
        sweep(machines.scheduler_address)


def test_a_cluster_that_loses_all_workers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 2.0)
    with local_cluster(1) as machines, workers_at(machines.scheduler_address, 1, a="sleeps") as workers:
        results = workers.run(task_of(1, a=(0.1,)), lambda: machines.scale(0))  # type: ignore[func-returns-value]
        with pytest.raises(WorkersError, match="is gone or has no workers left"):
            list(results)


def test_workers_with_other_versions_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pruning_core.sensitivity.executors import machine

    here = machine.versions()
    monkeypatch.setattr(machine, "version", lambda name: "0.0.1" if name == "torch" else here[name])
    refusal = f"has torch {here['torch']}, not 0.0.1; install the same versions on all machines"
    with pytest.raises(WorkersError, match=refusal.replace("+", r"\+")), workers_at(address):
        pass


@pytest.mark.parametrize(
    ("address", "required", "reason"),
    [
        ("tls://127.0.0.1:9", False, "it asks for certificates, and none are set"),
        ("tcp://127.0.0.1:9", True, "Dask's settings ask for an address that begins with tls"),
    ],
)
def test_encryption_that_is_lacking_is_said(address: str, required: bool, reason: str) -> None:
    settings = dask.config.set({"distributed.comm.require-encryption": required})
    with settings, pytest.raises(WorkersError, match=reason), _connected(address):
        pass
