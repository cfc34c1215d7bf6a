"""Metrics on hand-made outcomes and structures, storage against torch's sparse formats, the contract of the seam."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.data import EvalData
from pruning_core.errors import Cancelled, DataError, ModelError, PruningError, UnknownName
from pruning_core.evaluate import Outcome, predict
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import ModelGraph, trace
from pruning_core.intervals import paired_difference, wilson
from pruning_core.masks import expand, keep_largest, pool
from pruning_core.metrics import METRICS, Measurement, Reading, Structure, measurements, metric, storage_of
from pruning_core.metrics.storage import n_m_bytes, n_m_patterns, n_m_size
from pruning_core.registry import Registry

LOGITS = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])
TARGETS = torch.tensor([0, 1, 0, 0])
DENSE = torch.tensor([[2.0, 0, 0], [0, 2, 0], [2, 0, 0], [0, 2, 0]])


class Net(nn.Module):
    """Convolution, norm, linear; a parameter of its own that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 16, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))
        return out


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    torch.manual_seed(0)
    return trace(Net().eval(), (torch.randn(2, 2, 4, 4),))


def data(n: int = 10, targets: bool = True) -> EvalData:
    inputs = np.random.default_rng(0).normal(size=(n, 2, 4, 4)).astype(np.float32)
    return EvalData("tiny", "test", inputs, np.arange(n) % 8 if targets else None)


# Outputs


def test_accuracy() -> None:
    found = METRICS["accuracy"](Outcome(LOGITS, TARGETS))
    assert found == Measurement(
        0.75, "fraction", True, wilson(3, 4), "3 of 4 examples answered right; Wilson interval", 4
    )


def test_top5_accuracy() -> None:
    logits = torch.arange(7.0).repeat(3, 1)  # the largest five are classes 2 to 6
    assert METRICS["top5_accuracy"](Outcome(logits, torch.tensor([1, 2, 6]))).value == 2 / 3
    with pytest.raises(DataError, match="at most five classes"):
        METRICS["top5_accuracy"](Outcome(LOGITS, TARGETS))


def test_loss_by_hand() -> None:
    found = METRICS["loss"](Outcome(LOGITS, TARGETS))
    right, wrong = math.log(math.exp(2) + 2) - 2, math.log(math.exp(2) + 2)
    assert found.value == pytest.approx((3 * right + wrong) / 4)
    half = 1.959964 * (2 * math.sqrt(3) / 4) * math.sqrt(4 / 3) / 2  # three values and one that is 2 more
    assert found.interval == pytest.approx((found.value - half, found.value + half), rel=1e-5)


def test_agreement() -> None:
    found = METRICS["agreement"](Outcome(LOGITS, None, DENSE))
    assert (found.value, found.interval, found.n) == (0.5, wilson(2, 4), 4)


def test_kl_by_hand() -> None:
    dense, pruned = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])  # (3/4, 1/4) against (1/2, 1/2)
    assert METRICS["kl"](Outcome(pruned, None, dense)).value == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    )
    assert METRICS["kl"](Outcome(DENSE, None, DENSE)).value == 0.0


def test_accuracy_drop_counts_who_changed() -> None:
    found = METRICS["accuracy_drop"](Outcome(LOGITS, TARGETS, DENSE))  # third example lost, fourth gained
    low, high = paired_difference(1, 1, 4)
    assert (found.value, found.interval, found.higher_is_better) == (0.0, (-high, -low), False)
    worse = METRICS["accuracy_drop"](Outcome(-LOGITS, TARGETS, DENSE))
    assert worse.value == 0.5  # one of four right instead of three
    assert worse.how.startswith("2 of 4 examples lost, 0 gained")


def test_an_outcome_is_of_the_same_examples() -> None:
    with pytest.raises(DataError, match="4 outputs but 3 targets"):
        Outcome(LOGITS, TARGETS[:3])
    with pytest.raises(DataError, match="4 outputs but 2 dense logits"):
        Outcome(LOGITS, TARGETS, DENSE[:2])


# The seam


@pytest.mark.parametrize("name", list(METRICS))
def test_contract(name: str, graph: ModelGraph) -> None:
    member = METRICS[name]
    logits = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    is_number = "numbers" in member.needs
    outcome = Outcome(logits, logits * 2 if is_number else torch.arange(6), logits.flip(0))
    weights = {layer.name: torch.zeros(layer.weight_shape, dtype=torch.bool) for layer in graph.layers}
    for mask in weights.values():
        mask[:, ::2] = True  # 1:2 along the inputs
    subject = outcome if member.reads is Outcome else Structure(graph, weights)
    found = member(subject)
    assert math.isfinite(found.value)
    assert found.how
    assert member.doc.endswith(".")
    assert member.label[0].isupper()
    assert found.unit == member.unit != ""
    assert found.higher_is_better == member.higher_is_better
    assert (found.n == 6) == (member.reads is Outcome)
    if found.interval is not None:
        assert found.interval[0] <= found.value <= found.interval[1]


@pytest.mark.parametrize("name", list(METRICS))
def test_what_is_missing_is_said_in_a_sentence(name: str, graph: ModelGraph) -> None:
    member = METRICS[name]
    poor = Outcome(torch.zeros(2, 3)) if member.reads is Outcome else Structure.from_counts(graph, {})
    if member.needs:
        with pytest.raises(PruningError, match=rf"{member.label} cannot be measured: "):
            member(poor)
    with pytest.raises(PruningError, match="is measured on an"):
        member(object())


def test_measurements_are_all_that_can_be_had(graph: ModelGraph) -> None:
    of_outputs = {name: member for name, member in METRICS.items() if member.reads is Outcome}
    outputs = {name for name, member in of_outputs.items() if "numbers" not in member.needs}
    assert set(measurements(Outcome(torch.zeros(2, 8)))) == set()
    assert set(measurements(Outcome(torch.zeros(2, 3), torch.tensor([0, 1])))) == {"accuracy", "loss", "perplexity"}
    assert set(measurements(Outcome(torch.zeros(2, 8), torch.tensor([0, 1]), torch.zeros(2, 8)))) == outputs
    predicted = measurements(Outcome(torch.zeros(2, 1), torch.tensor([0.5, 1.0]), torch.zeros(2, 1)))
    assert set(predicted) == {"mean_squared_error", "r2", "relative_output_error"}
    counted = set(measurements(Structure.from_counts(graph, {})))
    assert counted == set(METRICS) - set(of_outputs) - {"storage_n_m"}


def test_a_new_metric_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: Registry[object] = Registry("metric")
    monkeypatch.setattr("pruning_core.metrics.seam.METRICS", fresh)

    @metric("margin", label="Margin", unit="logits", higher_is_better=True, needs={"targets"})
    def margin(outcome: Outcome) -> Reading:
        """Logit of the target."""
        return Reading(float(outcome.logits[0, 0]), "first logit")

    assert fresh["margin"](Outcome(LOGITS, TARGETS)).value == 2.0  # type: ignore[operator]
    with pytest.raises(DataError, match="Margin cannot be measured: the data has no targets"):
        fresh["margin"](Outcome(LOGITS))  # type: ignore[operator]


# Structure


def masks_of(graph: ModelGraph, sparsity: float) -> dict[str, torch.Tensor]:
    found = {}
    for layer in graph.layers:
        layout = GRANULARITIES["fine_grained"].layout(layer.weight_shape)
        scores = pool(graph.weight(layer.name).abs(), layout)
        found[layer.name] = expand(keep_largest(scores, layer.n_weights - round(sparsity * layer.n_weights)), layout)
    return found


def test_counts_by_hand(graph: ModelGraph) -> None:
    # conv 4 x 2 x 9 = 72 weights + 4 biases; norm 4 + 4; fc 8 x 64 = 512. MACs 72 * 16 + 512.
    conv = torch.ones(4, 2, 3, 3, dtype=torch.bool)
    conv[0] = False  # 18 weights
    found = {name: m.value for name, m in measurements(Structure(graph, {"conv": conv})).items()}
    assert found["params"] == 72 + 4 + 8 + 512
    assert found["nonzero_params"] == 596 - 18 - 4  # the shift of a fresh norm is zero
    assert found["sparsity"] == 18 / 584
    assert found["model_sparsity"] == 22 / 596
    assert found["macs"] == 72 * 16 + 512
    assert found["effective_macs"] == 54 * 16 + 512


def test_macs_are_half_of_torchs_flops(graph: ModelGraph) -> None:
    with FlopCounterMode(display=False) as counter:
        graph.module(torch.randn(1, 2, 4, 4))
    assert METRICS["macs"](Structure(graph, {})).value * 2 == counter.get_total_flops()


def test_effective_macs_are_those_of_the_smaller_layer(graph: ModelGraph) -> None:
    conv = torch.ones(4, 2, 3, 3, dtype=torch.bool)
    conv[:, 1] = False
    small = trace(nn.Conv2d(1, 4, 3, padding=1).eval(), (torch.randn(2, 1, 4, 4),))
    found = METRICS["effective_macs"](Structure(graph, {"conv": conv})).value
    assert found == small.macs + graph.layer("fc").macs


@given(st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_counts_and_masks_agree(graph: ModelGraph, sparsity: float) -> None:
    masks = masks_of(graph, sparsity)
    by_mask = Structure(graph, masks)
    by_count = Structure.from_counts(graph, {name: int(mask.sum()) for name, mask in masks.items()})
    expected = {name: m.value for name, m in measurements(by_mask).items()}
    found = {name: m.value for name, m in measurements(by_count).items()}
    if "storage_n_m" in expected:  # which only masks can tell, and which may be the best
        del expected["storage_n_m"], expected["storage_best"], found["storage_best"]
    assert found == expected
    again = Structure(graph, {}).with_counts(by_count.kept)
    assert again.storage == by_count.storage
    assert again.rest is not by_count.rest


def test_weights_that_are_zero_are_not_kept() -> None:
    module = nn.Sequential(nn.Linear(4, 2, bias=False)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.0, 1, 2, 3], [-0.0, 5, 6, 7]]))
    graph = trace(module, (torch.randn(2, 4),))
    assert Structure(graph, {}).kept == {"0": 6}
    assert Structure.from_module(graph, module).kept == {"0": 6}
    assert METRICS["sparsity"](Structure(graph, {})).value == 0.25


def test_from_module_reads_the_copy_not_the_original(graph: ModelGraph) -> None:
    torch.manual_seed(0)
    copy = Net().eval()
    with torch.no_grad():
        copy.fc.weight[:4] = 0
    assert Structure.from_module(graph, copy).kept == {"conv": 72, "fc": 256}


def test_unknown_layers_and_impossible_counts_are_refused(graph: ModelGraph) -> None:
    with pytest.raises(UnknownName, match="did you mean 'conv'"):
        Structure.from_counts(graph, {"conv1": 3})
    with pytest.raises(PruningError, match="conv: 73 weights kept of 72"):
        Structure.from_counts(graph, {"conv": 73})


# Storage


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@given(st.integers(1, 40), st.integers(1, 60), st.floats(0, 1), st.integers(0, 9))
@settings(deadline=None)
def test_csr_is_as_large_as_torchs(rows: int, columns: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = torch.from_numpy(np.where(rng.random((rows, columns)) < density, rng.normal(size=(rows, columns)) + 9, 0))
    csr = dense.float().to_sparse_csr()
    parts = (csr.values(), csr.crow_indices().int(), csr.col_indices().int())
    expected = sum(part.numel() * part.element_size() for part in parts)
    assert storage_of(dense.numel(), int((dense != 0).sum()), rows)["csr"] == expected


def test_csr_of_the_reference_example() -> None:
    # torch.to_sparse_csr of 32 x 64 at about 68 % with int64 indices: 7,668 B. Same weight, half the index bytes.
    kept = (7668 - 33 * 8) // 12
    assert storage_of(32 * 64, kept, 32) == {"dense": 8192, "bitmask": kept * 4 + 256, "csr": kept * 8 + 33 * 4}


def test_bitmask_rounds_bits_up_to_bytes() -> None:
    assert storage_of(9, 3, 3)["bitmask"] == 12 + 2
    assert storage_of(9, 3, 3, value_bytes=2)["bitmask"] == 6 + 2


def n_m_mask(shape: tuple[int, ...], **fields: object) -> torch.Tensor:
    layout = GRANULARITIES["n_m"].layout(shape, **fields)
    n = int(fields["n"])  # type: ignore[call-overload]
    return expand(keep_largest(pool(torch.rand(shape), layout), n), layout)


@pytest.mark.parametrize("shape", [(8, 64), (8, 64, 3, 3)])
@pytest.mark.parametrize(
    ("n", "m", "bits"), [(2, 4, 2), (1, 4, 2), (3, 4, 2), (4, 8, 3), (1, 2, 1), (5, 16, 4), (9, 64, 6)]
)
@pytest.mark.parametrize("layout", ["input_channel", "flat"])
def test_n_m_patterns_of_the_granularity_are_found(
    shape: tuple[int, ...], n: int, m: int, bits: int, layout: str
) -> None:
    torch.manual_seed(n + m)
    mask = n_m_mask(shape, n=n, m=m, layout=layout)
    assert (n, m) in n_m_patterns(mask)
    assert n_m_bytes(mask) == int(mask.sum()) * 4 + math.ceil(int(mask.sum()) * bits / 8)


def test_one_group_too_full_is_no_pattern() -> None:
    mask = n_m_mask((8, 64), n=2, m=4)
    mask[3, 8:12] = torch.tensor([True, True, True, False])
    assert (2, 4) not in n_m_patterns(mask)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.8, 0.9, 0.99, 1.0])
def test_an_unstructured_mask_has_no_pattern_by_accident(sparsity: float) -> None:
    torch.manual_seed(3)
    assert n_m_bytes(torch.rand(100, 320) >= sparsity) is None


def test_n_m_size_counts_slots() -> None:
    assert n_m_size(64, 2, 4) == 32 * 4 + 32 * 2 // 8


def test_model_storage_adds_what_is_no_layer(graph: ModelGraph) -> None:
    rest = (4 + 4 + 4) * 4 + (4 + 4) * 4 + 8  # bias, scale, shift; running mean and variance; counter (int64)
    masks = {"fc": n_m_mask((8, 64), n=2, m=4)}
    storage = Structure(graph, masks).storage
    assert storage["dense"] == rest + 584 * 4
    assert storage["bitmask"] == rest + 72 * 4 + 9 + 256 * 4 + 64
    assert storage["csr"] == rest + (72 * 8 + 5 * 4) + (256 * 8 + 9 * 4)
    assert storage["n_m"] == rest + 72 * 4 + 256 * 4 + 64
    assert storage["best"] == rest + 72 * 4 + 256 * 4 + 64
    assert "n_m" not in Structure(graph, {}).storage


def test_best_is_chosen_for_each_layer(graph: ModelGraph) -> None:
    storage = Structure.from_counts(graph, {"fc": 2}).storage_by_layer()
    total = Structure.from_counts(graph, {"fc": 2}).storage
    assert storage["conv"]["dense"] < storage["conv"]["csr"]
    assert storage["fc"]["csr"] < storage["fc"]["bitmask"]
    rest = total["dense"] - 584 * 4
    assert total["best"] == rest + storage["conv"]["dense"] + storage["fc"]["csr"]


def test_masks_are_needed_for_masks(graph: ModelGraph) -> None:
    with pytest.raises(PruningError, match="only counts are known"):
        Structure.from_counts(graph, {}).mask(graph.layer("fc"))


# Evaluation


def test_predict_is_the_module_on_all_examples_in_order() -> None:
    torch.manual_seed(0)
    module, seen = Net().eval(), []
    logits = predict(module, data(), batch_size=4, progress=lambda done, total: seen.append((done, total)))
    with torch.no_grad():
        expected = module(torch.from_numpy(data().inputs))
    assert torch.allclose(logits, expected, atol=1e-6)
    assert seen == [(4, 10), (8, 10), (10, 10)]
    assert not logits.is_inference()


def test_predict_stops() -> None:
    calls = iter([False, True])
    with pytest.raises(Cancelled, match="4 of 10"):
        predict(Net().eval(), data(), batch_size=4, cancelled=lambda: next(calls))


class Bad(nn.Module):
    """Returns what it is told to."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output
        self.eval()

    def forward(self, x: torch.Tensor) -> object:
        return self.output


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused_by_name(value: float) -> None:
    output = torch.zeros(5, 3)
    output[2, 1] = value
    batches: list[torch.Tensor] = [torch.zeros(5, 3), output]
    module = Bad(None)
    module.forward = lambda x: batches.pop(0)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"for 1 of 5 examples of data 'tiny', first for example 7"):
        predict(module, data(), batch_size=5)


def test_outputs_of_other_kinds_are_refused() -> None:
    with pytest.raises(ModelError, match=r"output has shape \(\); an answer for each example is needed"):
        predict(Bad(torch.zeros(())), data())
    with pytest.raises(ModelError, match="returns str"):
        predict(Bad("no"), data())
    assert predict(Bad((torch.ones(10, 3), "more")), data()).sum() == 30


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ModelError, match="training mode"):
        predict(Net().train(), data())


def test_a_traced_graph_can_be_run(graph: ModelGraph) -> None:
    torch.manual_seed(0)
    assert torch.allclose(predict(graph.module, data()), predict(Net().eval(), data()), atol=1e-6)


def test_frozen() -> None:
    found = METRICS["accuracy"](Outcome(LOGITS, TARGETS))
    assert replace(found, value=1.0) != found
    with pytest.raises(AttributeError):
        found.value = 1.0  # type: ignore[misc]
