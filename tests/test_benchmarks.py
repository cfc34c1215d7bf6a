"""The benchmarks run, on few examples; their tables are those of the documents that are kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.sensitivity import DEFAULT_LEVELS, Request
from pruning_core.sensitivity.executors import in_process
from tests.benchmarks import executors, memory, peer_loops, peers, performance, slider, sweeps
from tests.benchmarks.architectures import LARGER, Enlarged
from tests.benchmarks.common import machine, rounded
from tests.benchmarks.limit import limit
from tests.benchmarks.naive import kthvalue_mask
from tests.benchmarks.subjects import Subject, spread, subject

SAMPLE = "lenet_300_100"


@pytest.fixture(scope="module")
def small() -> Subject:
    return subject(SAMPLE, 96)


@pytest.fixture(scope="module")
def swept(small: Subject) -> dict[str, Any]:
    with torch.no_grad():
        return sweeps.compare(small, naive_seconds=0.01, peak=1e11)


def test_a_sweep_is_compared_with_the_naive_loop(swept: dict[str, Any]) -> None:
    assert swept["cells"] == 27
    assert swept["exact"]["same_answers"] == 1.0
    assert swept["exact"]["of_them_with_the_same_count"] == swept["exact"]["naive_cells_with_the_same_mask"]
    assert 3 <= swept["naive"]["cells_measured"] <= 27  # one before, between and after
    assert sum(swept["anytime"]["states"].values()) == pytest.approx(1)
    assert swept["preview"]["examples"] == 64
    assert 0 < swept["anytime"]["examples_used"] <= 1


def test_tables_show_what_was_measured(swept: dict[str, Any], small: Subject, tmp_path: Path) -> None:
    document = {"machine": machine(), "limit": {"product": 1e11}, "subjects": {SAMPLE: swept}}
    (tmp_path / "sweeps.json").write_text(json.dumps(rounded(document)), "utf-8")
    text = "".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in ("sweeps", "work", "peers"))
    page = performance.with_tables(text, tmp_path)
    assert f"| {SAMPLE} | 3 of 3 |" in page
    assert page.count("old") == 1  # peers were not measured
    assert performance.with_tables(page, tmp_path) == page


def test_a_share_that_is_not_all_does_not_read_as_all() -> None:
    assert performance.percent(0.9999) == "below 100 %"
    assert performance.percent(1.0) == "100 %"
    assert performance.percent(0.125) == "12.5 %"


@pytest.mark.parametrize("page", performance.PAGES, ids=lambda page: page.name)
def test_pages_show_the_documents_that_are_kept(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == performance.with_tables(text), "run python -m tests.benchmarks.performance"


def test_loops_of_peers_agree_with_each_other(small: Subject) -> None:
    first = Subject(small.model, small.data.take(16), small.layers[:1], small.weights)
    one, other = peer_loops.distiller(first), peer_loops.nni(first)
    assert one == other  # masks of rising sparsity lie within each other
    assert len(one) == len(DEFAULT_LEVELS)
    assert set(peer_loops.sparseml_torch(first)) == set(one)


@pytest.mark.slow
def test_all_peers_are_compared(small: Subject) -> None:
    found = peers.compare(Subject(small.model, small.data.take(16), small.layers[:1], small.weights))
    assert set(found["times_exact"]) == set(peer_loops.PEERS)


def test_a_slider_is_timed_for_every_layer() -> None:
    found = slider.measure_sample(SAMPLE, moves=1)
    assert set(found["layers"]) == {"fc1", "fc2", "fc3"}
    assert set(found["outside_the_aim"]) <= set(found["layers"])


def test_memory_and_executors_are_measured(small: Subject) -> None:
    assert memory.most_during(Request(levels=(0.5,)), SAMPLE, 16)["beyond_bytes"] >= 0
    timed = executors.Timed(Subject(small.model, small.data.take(16), small.layers[:1], small.weights), in_process)
    assert 0 < timed.first_cell_s <= timed.wall_s


def test_the_larger_networks_have_the_layers_they_should() -> None:
    images = Enlarged(32).normalise(torch.zeros(2, 28, 28, dtype=torch.uint8))
    assert images.shape == (2, 3, 32, 32)
    with torch.inference_mode():
        assert LARGER["resnet20"].random()(images).shape == (2, 10)
        assert LARGER["vit_tiny"].random()(images).shape == (2, 10)


def test_layers_are_spread_evenly(small: Subject) -> None:
    assert [layer.name for layer in spread(small.layers, 1)] == ["fc2"]
    assert spread(small.layers, 9) == small.layers


def test_the_naive_mask_drops_the_smallest_and_the_limit_is_a_rate() -> None:
    assert kthvalue_mask(torch.tensor([3.0, -1.0, 2.0, -4.0]), 0.5).tolist() == [True, False, False, True]
    assert all(rate > 1e8 for rate in limit(repeats=1).values())
