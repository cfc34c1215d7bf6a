"""Additivity and interactions: equal to masked copies by brute force; only parallel branches add up."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pruning_core as pc
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import Cancelled, PlanError, UnknownName
from pruning_core.intervals import mean_interval, paired_difference
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity import worker
from pruning_core.sensitivity.additivity import additivity, predicted_change
from pruning_core.sensitivity.cells import Cell, Sweep
from pruning_core.sensitivity.interactions import interactions
from pruning_core.sensitivity.joint import Sums
from pruning_core.sensitivity.reference import Reference
from pruning_core.sensitivity.tally import Tally

N, CLASSES = 150, 3


class Net(nn.Module):
    """Three layers, used in a way that is given."""

    def __init__(self, use: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use = use
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self, x)


class Parallel(nn.Module):
    """Two layers whose outputs are added."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, CLASSES), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def reference_of(module: nn.Module, labelled: bool = True) -> Reference:
    inputs = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
    data = EvalData("toy", "all", inputs, np.arange(N) % CLASSES if labelled else None)
    return Reference(Model("toy", module, (torch.zeros(2, 6),)), Dataset("toy", "Toy", {"all": data}))


@pytest.fixture(scope="module")
def series() -> Reference:
    return reference_of(Net(lambda n, x: n.c(F.relu(n.b(F.relu(n.a(x)))))))


def plan_of(reference: Reference, *names: str, **fields: object) -> Plan:
    wish = {"sparsity": 0.5, **fields}
    return pc.plan_for(reference.model).with_layers(dict.fromkeys(names, wish))


def answers(reference: Reference, plan: Plan) -> Tensor:
    with torch.no_grad():
        return pc.apply(plan, reference.model)(reference.validation.batch(slice(None)))


def changes(reference: Reference, plan: Plan) -> tuple[Tensor, Tensor]:
    """Change of right answers (N,) and of the loss (N,), by a masked copy."""
    dense, pruned = answers(reference, pc.plan_for(reference.model)), answers(reference, plan)
    if reference.validation.targets is None:
        return (pruned.argmax(1) == dense.argmax(1)).double() - 1, torch.zeros(N)
    targets = reference.validation.labels()
    right = [(logits.argmax(1) == targets).double() for logits in (dense, pruned)]
    losses = [F.cross_entropy(logits.double(), targets, reduction="none") for logits in (dense, pruned)]
    return right[1] - right[0], losses[1] - losses[0]


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 0, 10), (3, 5, 40), (0, 7, 7)])
def test_intervals_of_counts_are_those_of_paired_differences(gained: int, lost: int, n: int) -> None:
    values = torch.tensor([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
    found = (Sums.of(values[: n // 2]) + Sums.of(values[n // 2 :])).of_counts
    low, high = paired_difference(gained, lost, n)
    assert found.value == (gained - lost) / n
    assert (max(found.interval[0], -1), min(found.interval[1], 1)) == pytest.approx((low, high))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1])
def test_intervals_of_rare_changes_hold_the_truth(rate: float) -> None:
    """Sums of three changes of -1, 0 or 1, as interactions are, mostly 0: 95 % intervals hold their mean."""
    generator, rounds, held = np.random.default_rng(0), 1000, 0
    for _ in range(rounds):
        signs = generator.choice([-1, 1], size=(3, 400), p=[0.75, 0.25])
        values = (signs * (generator.random((3, 400)) < rate)).sum(0)
        low, high = Sums.of(torch.from_numpy(values)).of_counts.interval
        held += low <= -1.5 * rate <= high
    assert held / rounds >= 0.93


def test_intervals_of_values_are_normal() -> None:
    values = torch.tensor([0.5, -1.0, 2.0, 3.5])
    found = Sums.of(values).of_values
    assert found.interval == pytest.approx(mean_interval(1.25, float(values.std()), 4))
    assert Sums.of(values[:1]).of_values.interval == (-np.inf, np.inf)


@pytest.mark.parametrize("labelled", [True, False])
def test_pairs_are_those_of_masked_copies(labelled: bool) -> None:
    reference = reference_of(Net(lambda n, x: n.c(F.relu(n.b(F.relu(n.a(x)))))), labelled)
    plan = plan_of(reference, "a", "b", "c")
    found = interactions(reference, plan)
    assert (found.n, found.labelled, found.layers) == (N, labelled, ("a", "b", "c"))
    alone = {name: changes(reference, plan_of(reference, name)) for name in "abc"}
    for name, (change, _) in alone.items():
        assert found.singles[name] == Sums.of(change).of_counts
    dense = answers(reference, pc.plan_for(reference.model))
    for one, other in combinations("abc", 2):
        both, loss = changes(reference, plan_of(reference, one, other))
        pair = found.of(other, one)
        assert pair.together == Sums.of(both).of_counts
        assert pair.beyond == Sums.of(both - alone[one][0] - alone[other][0]).of_counts
        deltas = [answers(reference, plan_of(reference, *names)) - dense for names in ((one, other), one, other)]
        whole, *parts = [delta - delta.mean(1, keepdim=True) for delta in deltas]
        assert pair.logits == pytest.approx(float((whole - sum(parts)).norm() / whole.norm()), rel=1e-4)
        if labelled:
            assert pair.loss.value == pytest.approx(float((loss - alone[one][1] - alone[other][1]).mean()), abs=1e-6)
        else:
            assert pair.loss is None


def test_parallel_branches_add_up_in_the_logits_and_layers_in_series_do_not(series: Reference) -> None:
    parallel = reference_of(Parallel())
    beside = interactions(parallel, plan_of(parallel, "a", "b")).of("a", "b")
    behind = interactions(series, plan_of(series, "a", "b"), samples=100).of("a", "b")
    assert beside.logits < 1e-5
    assert behind.logits > 0.05


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_additivity_is_that_of_masked_copies(series: Reference, scope: str) -> None:
    plan = plan_of(series, "a", "b", "c").model_copy(update={"scope": scope})
    found = additivity(series, plan)
    measured, _ = changes(series, plan)
    assert found.measured == Sums.of(measured).of_counts
    if scope == "layer":
        total = sum(changes(series, plan_of(series, name))[0] for name in "abc")
        assert found.predicted == Sums.of(total).of_counts
        assert found.gap == Sums.of(measured - total).of_counts
    assert found.gap.value == pytest.approx(found.measured.value - found.predicted.value)
    assert found.predicted.value == pytest.approx(sum(effect.value for effect in found.singles.values()))
    assert found.sentence.startswith(f"{100 * found.measured.value:+.1f} points of accuracy together, ")
    assert found.sentence.endswith("(n 150).")


def test_one_row_adds_up_to_itself(series: Reference) -> None:
    found = additivity(series, plan_of(series, "b"), samples=120)
    assert (found.n, found.gap.value, found.predicted) == (120, 0, found.measured)
    assert "as the single changes add up to" in found.sentence


def test_a_row_of_coupled_layers_is_one(series: Reference) -> None:
    residual = reference_of(Net(lambda n, x: n.c(n.a(x) + n.b(x))))
    plan = plan_of(residual, "a", "b", granularity="output_channel").with_layer("c", sparsity=0.5)
    found = interactions(residual, plan, ["b", "c"])
    assert found.layers == ("a", "c")  # a stands for a and b
    together = found.of("a", "c").together
    assert together == Sums.of(changes(residual, plan)[0]).of_counts


@torch.no_grad()
def test_pairs_of_a_residual_network_are_those_of_masked_copies() -> None:
    model, data = pc.load_model("resnet_fashion"), pc.load_data("fashion_mnist")
    few = replace(data, splits={"validation": data.validation.take(60), "calibration": data.calibration})
    reference = Reference(model, few)
    rows = ("layers.1.conv1", "layers.1.conv2", "layers.1.shortcut.0")  # a block and what runs beside it
    found = interactions(reference, plan_of(reference, *rows, sparsity=0.8))
    targets, inputs = few.validation.labels(), few.validation.batch(slice(None))
    before = model.module(inputs).argmax(1) == targets
    for pair in combinations(rows, 2):
        after = pc.apply(plan_of(reference, *pair, sparsity=0.8), model)(inputs).argmax(1) == targets
        assert found.of(*pair).together == Sums.of(after.double() - before.double()).of_counts, pair


class Tagger(nn.Module):
    """Answers each word of a text."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.a, self.b = nn.Embedding(5, 6), nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(self.words(x))))


@torch.no_grad()
def test_of_models_that_answer_at_each_position_an_example_is_the_mean() -> None:
    words = np.random.default_rng(0).integers(0, 5, size=(90, 4))
    data = EvalData("text", "all", words, None, tokens=True).with_next_tokens()
    model = Model("tagger", Tagger(), (torch.zeros(2, 4, dtype=torch.long),))
    reference = Reference(model, Dataset("text", "Text", {"all": data}))
    plan, targets = plan_of(reference, "a", "b"), data.labels()[:, :-1]
    modules = model.module, pc.apply(plan, model)
    right = [(module(torch.from_numpy(words))[:, :-1].argmax(2) == targets).double().mean(1) for module in modules]
    found = additivity(reference, plan).measured
    assert found.value == pytest.approx(float((right[1] - right[0]).mean()))
    assert interactions(reference, plan).of("a", "b").together == found


def test_when_cancelled_whole_chunks_count(series: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CHUNKS", (50, 50))
    plan, calls = plan_of(series, "a", "b"), iter([False] * 8 + [True] * 9)
    found = interactions(series, plan, cancelled=lambda: next(calls))
    assert found.n == 100  # two chunks of 2 + 1 outputs, and 2 of the third
    calls = iter([False, False, True])
    assert additivity(series, plan, cancelled=lambda: next(calls)).n == 100
    for measure in (interactions, additivity):
        with pytest.raises(Cancelled, match="before anything was measured"):
            measure(series, plan, cancelled=lambda: True)


def test_progress_ends_at_its_total(series: Reference) -> None:
    seen: list[tuple[int, int]] = []
    interactions(series, plan_of(series, "a", "b", "c"), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (N * 6, N * 6)
    additivity(series, plan_of(series, "a"), samples=90, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (90, 90)


def test_refusals(series: Reference) -> None:
    with pytest.raises(PlanError, match="the plan prunes nothing"):
        additivity(series, pc.plan_for(series.model))
    with pytest.raises(PlanError, match="a: an interaction needs two rows"):
        interactions(series, plan_of(series, "a"))
    with pytest.raises(PlanError, match="b: the plan keeps all of it; give it a sparsity, or leave it out"):
        interactions(series, plan_of(series, "a", "c"), ["a", "b"])
    with pytest.raises(UnknownName, match="no prunable layer 'd'"):
        interactions(series, plan_of(series, "a", "c"), ["a", "d"])


def sweep_of(granularity: str = "fine_grained") -> Sweep:
    """Cells of layers a and b at half of their weights."""
    tallies = {"a": Tally(n=100, lost=10, labelled=True), "b": Tally(n=100, lost=20, gained=4, labelled=True)}
    cells = tuple(Cell(name, 0.5, 0.5, (tally,)) for name, tally in tallies.items())
    return Sweep("toy", "toy", 100, 0.9, None, granularity, "l1", {}, True, cells, 0.0, {})


def test_a_prediction_adds_up_what_single_cells_say(series: Reference) -> None:
    ranking, sweep = series.ranking, sweep_of()
    found = predicted_change(sweep, plan_of(series, "a", "b", "c"), ranking)
    halves = [(cell.drop_interval[1] - cell.drop_interval[0]) / 2 for cell in sweep.cells]
    assert found.change.value == pytest.approx(-0.26)
    assert found.change.interval == pytest.approx((-0.26 - np.hypot(*halves), -0.26 + np.hypot(*halves)))
    assert found.missing == {"c": "the sweep has no cell of it"}
    half_way = predicted_change(sweep, plan_of(series, "a", sparsity=0.25), ranking)
    assert half_way.change.value == pytest.approx(-0.05)
    other = predicted_change(sweep_of("output_channel"), plan_of(series, "a"), ranking)
    assert other.missing == {"a": "the sweep is by output_channel and l1, the plan by fine_grained and l1"}
    dropped = predicted_change(replace(sweep, target="activations"), plan_of(series, "a"), ranking)
    assert dropped.missing["a"].startswith("the sweep of activations is by")
    rounded = plan_of(series, "a").model_copy(update={"channel_multiple": 2})
    assert predicted_change(sweep, rounded, ranking).missing == {"a": "the sweep has other settings than the plan"}
    same = replace(sweep, options={"channel_multiple": 2})
    assert predicted_change(same, rounded, ranking).missing == {}


def test_a_prediction_takes_a_row_by_any_of_its_layers() -> None:
    residual = reference_of(Net(lambda n, x: n.c(n.a(x) + n.b(x))))
    sweep = sweep_of("output_channel")
    only_b = replace(sweep, cells=sweep.cells[1:])
    plan = plan_of(residual, "a", "b", granularity="output_channel")
    assert LayerPlan(sparsity=0.5, granularity="output_channel") in plan.layers.values()
    assert predicted_change(only_b, plan, residual.ranking).change.value == pytest.approx(-0.16)
