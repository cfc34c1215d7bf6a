"""`measure` and its report: the documents of the contract, equal to what the parts say."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from pruning_core.apply import masked_copy, masks_for, plan_for
from pruning_core.data import EvalData
from pruning_core.errors import Cancelled, DataError, ExportError
from pruning_core.evaluate import Outcome, predict
from pruning_core.latency import RUNTIMES
from pruning_core.loaders import load_data, load_model
from pruning_core.measure import Report, measure
from pruning_core.metrics import METRICS
from pruning_core.model import Model, state_hash
from pruning_core.onnx_export import to_onnx
from pruning_core.plan import Plan
from pruning_core.ranking import Change
from pruning_core.report import weights_file
from pruning_core.slim import forms_of

M = {
    *"accuracy accuracy_interval params nonzero_params sparsity".split(),
    *"macs effective_macs size_bytes storage latency_ms".split(),
}


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6))
    return Model("tiny", module, (torch.zeros(1, 2, 4),))


@pytest.fixture(scope="module")
def data() -> EvalData:
    rng = np.random.default_rng(0)
    return EvalData("noise", "validation", rng.normal(size=(300, 2, 4)).astype(np.float32), rng.integers(0, 6, 300))


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    return plan_for(model).with_layer("1", sparsity=0.5)


@pytest.fixture(scope="module")
def report(model: Model, data: EvalData, plan: Plan) -> Report:
    return measure(model, data, plan)


def test_the_documents_have_the_fields_of_the_contract(report: Report) -> None:
    document = json.loads(report.to_json())
    assert {"dense", "masked", "slimmed", "certificate", "files"} <= set(document)
    for form in (document["dense"], document["masked"]):
        assert set(form) >= M
        assert set(form["storage"]) >= {"dense", "bitmask", "csr", "n_m"}
        assert form["latency_ms"] == {}
    assert document["slimmed"] is None
    assert document["certificate"] == {
        "masked_vs_slimmed_max_abs_diff": None,
        "slimmed_vs_onnx_max_abs_diff": None,
        "masked_vs_onnx_max_abs_diff": None,
        "samples": 0,
    }
    assert (document["model"], document["data"], document["split"]) == ("tiny", "noise", "validation")


def test_the_numbers_are_those_of_the_parts(model: Model, data: EvalData, plan: Plan, report: Report) -> None:
    masked = masked_copy(model, masks_for(model, plan))
    outcome = Outcome(predict(masked, data), data.labels(), predict(model.module, data))
    document = report.document()
    for name in ("accuracy", "loss", "agreement", "kl", "accuracy_drop"):
        found = METRICS[name](outcome)
        assert document["masked"][name] == found.value
        assert found.interval is not None
        assert tuple(document["masked"][f"{name}_interval"]) == found.interval
    assert document["dense"]["accuracy"] == METRICS["accuracy"](outcome.dense).value
    assert document["masked"]["n"] == document["dense"]["n"] == 300
    drop = document["dense"]["accuracy"] - document["masked"]["accuracy"]
    assert document["masked"]["accuracy_drop"] == pytest.approx(drop)


def test_the_counts_by_hand(report: Report) -> None:
    # 8 x 16 + 16 and 16 x 6 + 6 parameters; half of the 128 weights of the first layer go
    dense, masked = report.dense, report.masked
    assert masked is not None
    assert [dense[key] for key in ("params", "nonzero_params", "macs", "effective_macs")] == [246, 246, 224, 224]
    assert [masked[key] for key in ("params", "nonzero_params", "macs", "effective_macs")] == [246, 182, 224, 160]
    assert (dense["sparsity"], masked["sparsity"]) == (0.0, 64 / 224)
    bitmask = (64 + 96) * 4 + 128 // 8 + 96 // 8 + 22 * 4
    assert masked["storage"] == {
        "dense": 984,
        "bitmask": bitmask,
        "csr": 160 * 8 + (17 + 7) * 4 + 88,
        "n_m": None,
        "best": 64 * 4 + 16 + 96 * 4 + 88,
    }


def test_one_row_for_each_layer(report: Report) -> None:
    first, second = report.layers
    assert first == {
        "name": "1",
        "kind": "linear",
        "weight_shape": (16, 8),
        "weights": 128,
        "kept": 64,
        "target_sparsity": 0.5,
        "measured_sparsity": 0.5,
        "granularity": "fine_grained",
        "criterion": "l1",
        "macs": 128,
        "effective_macs": 64,
    }
    assert (second["kept"], second["target_sparsity"], second["measured_sparsity"]) == (96, 0.0, 0.0)
    assert sum(row["kept"] for row in report.layers) + 22 == (report.masked or {})["nonzero_params"]
    assert sum(row["effective_macs"] for row in report.layers) == (report.masked or {})["effective_macs"]


def test_every_number_says_how(report: Report) -> None:
    masked = report.masked or {}
    told = {name for name in masked if name in METRICS and masked[name] is not None}
    assert told | {"size_bytes"} <= set(report.how)
    assert all(text for text in report.how.values())


def test_size_is_that_of_the_file(model: Model, plan: Plan, report: Report) -> None:
    masked = masked_copy(model, masks_for(model, plan))
    written = weights_file(model, plan, masked)
    assert (report.masked or {})["size_bytes"] == len(written)
    state = load(written)
    assert set(state) == set(model.module.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in masked.state_dict().items())


def test_tied_weights_are_written_under_both_names() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    written = weights_file(Model("tied", module, (torch.zeros(1, 4),)), None, module)
    assert torch.equal(load(written)["0.weight"], load(written)["2.weight"])


def test_without_a_plan_only_dense_is_measured(model: Model, data: EvalData) -> None:
    found = measure(model, data)
    assert found.masked is None
    assert found.dense["accuracy"] is not None
    assert found.document()["masked"] is None


def test_without_targets_what_needs_them_is_null(model: Model, data: EvalData, plan: Plan) -> None:
    found = json.loads(measure(model, replace(data, targets=None), plan).to_json())
    for name in ("accuracy", "accuracy_interval", "loss", "accuracy_drop", "top5_accuracy"):
        assert found["masked"][name] is None
    assert 0 <= found["masked"]["agreement"] <= 1
    assert found["masked"]["kl"] > 0
    assert found["dense"]["agreement"] is None


def test_masks_stand_for_the_plans(model: Model, data: EvalData) -> None:
    mask = torch.ones(16, 8, dtype=torch.bool)
    mask[0] = False
    found = measure(model, data, pruned=forms_of(model, Change({"1": mask}))).masked
    assert found is not None
    assert found["sparsity"] == 8 / 224


def test_the_model_is_not_changed(model: Model, data: EvalData, plan: Plan) -> None:
    before = state_hash(model.module)
    measure(model, data, plan)
    assert state_hash(model.module) == before


def test_data_that_does_not_fit_is_refused(model: Model, data: EvalData, plan: Plan) -> None:
    with pytest.raises(DataError, match=r"examples of shape \(2, 3\)"):
        measure(model, replace(data, inputs=data.inputs[:, :, :3]), plan)
    with pytest.raises(DataError, match="outside 0 to 5"):
        measure(model, replace(data, targets=np.full(300, 6)), plan)


def test_progress_runs_over_both_forms_and_can_be_stopped(model: Model, data: EvalData, plan: Plan) -> None:
    seen: list[tuple[int, int]] = []
    measure(model, data, plan, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 600), (300, 600), (556, 600), (600, 600)]
    with pytest.raises(Cancelled):
        measure(model, data, plan, cancelled=lambda: len(seen) > 3)


def test_the_export_is_checked(model: Model, data: EvalData, plan: Plan) -> None:
    masks = masks_for(model, plan)
    onnx = to_onnx(masked_copy(model, masks), model.example_inputs)
    certificate = measure(model, data, plan, onnx=onnx).certificate
    assert certificate["samples"] == 256
    assert 0 <= certificate["masked_vs_onnx_max_abs_diff"] < 1e-5
    with pytest.raises(ExportError, match="answers differ by"):
        measure(model, data, pruned=forms_of(model, Change({"1": ~masks["1"]})), onnx=onnx)


@pytest.mark.parametrize("with_plan", [True, False])
def test_latency_by_runtime(
    model: Model, data: EvalData, plan: Plan, with_plan: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.latency.WARM_UP_SECONDS", 0.01)
    found = measure(model, data, plan if with_plan else None, latency=True, seconds=0.1, batch=4).document()
    for form in ("dense", "masked") if with_plan else ("dense",):
        assert set(found[form]["latency_ms"]) == set(RUNTIMES)
        for name, entry in found[form]["latency_ms"].items():
            assert entry["median"] > 0
            assert entry["wall_median"] > 0
            assert entry["clock"] == "cpu"
            low, high = entry["ratio_interval"]
            assert low <= entry["ratio_to_dense"] <= high
            assert (entry["batch"], entry["threads"], entry["device"]) == (4, 1, "cpu")
            assert f"latency_ms {name}" in found["how"]
    assert not any(entry["difference"] for entry in found["dense"]["latency_ms"].values())


def test_json_has_no_nan(report: Report) -> None:
    broken = replace(report, dense=report.dense | {"loss": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


def test_a_sample_on_its_test_images() -> None:
    model, data = load_model("lenet_300_100"), load_data("mnist").test
    masked = measure(model, data, plan_for(model).with_layer("fc1", sparsity=0.9)).document()["masked"]
    dense = measure(model, data).document()["dense"]
    assert dense["accuracy"] > 0.97
    assert dense["n"] == 10_000
    assert masked["nonzero_params"] == 266_610 - round(0.9 * 235_200)
    low, high = masked["accuracy_drop_interval"]
    assert low < masked["accuracy_drop"] < high
    assert masked["accuracy_drop"] == pytest.approx(dense["accuracy"] - masked["accuracy"])
