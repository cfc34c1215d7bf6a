"""The workbench: after any edits, refined to the end, its figures are those of a fresh masked copy run plainly."""

import random
from threading import Thread
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError, ModelError, PlanError, PruningError, UnknownName
from pruning_core.intervals import wilson
from pruning_core.metrics import METRICS
from pruning_core.metrics.structure import Structure
from pruning_core.model import Model
from pruning_core.plan import Plan
from pruning_core.workbench import Reference, Workbench

torch.set_num_threads(1)

N = 300  # validation examples: chunks of 100, 156 and 44


class Net(nn.Module):
    """A shortcut, batch norms, one module called twice, a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.branch = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.short = nn.Conv2d(8, 8, 1)
        self.twice = nn.Linear(8, 8)
        self.fc = nn.Linear(288, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.stem(x)))
        x = torch.relu(self.norm2(self.branch(x)) + self.short(x)).flatten(2).transpose(1, 2)
        x = torch.relu(self.twice(torch.relu(self.twice(x)))).flatten(1)
        logits: Tensor = self.fc(x)
        return logits


LAYERS = ("stem", "branch", "short", "twice", "fc")
WAYS = ("fine_grained", "row", "column")


@pytest.fixture(scope="module")
def reference() -> Reference:
    torch.manual_seed(1)
    net = Net().train()
    for _ in range(20):
        net(torch.randn(32, 1, 6, 6))  # settles the running statistics
    net.eval()
    with torch.no_grad():
        net.fc.bias.sub_(net(examples().batch(slice(None))).mean(0))  # so that every class is answered
        answers = net(examples().batch(slice(None))).argmax(1).numpy()
    targets = np.where(np.random.default_rng(2).random(N) < 0.8, answers, 0)
    return Reference(Model("net", net, (torch.randn(2, 1, 6, 6),)), dataset(targets))


def examples(targets: np.ndarray | None = None) -> EvalData:
    inputs = np.random.default_rng(0).normal(size=(N, 1, 6, 6)).astype(np.float32)
    return EvalData("noise", "validation", inputs, targets)


def dataset(targets: np.ndarray | None) -> Dataset:
    return Dataset("noise", "Noise", {"validation": examples(targets)})


def finish(bench: Workbench) -> pc.Estimate:
    while not (estimate := bench.refine(0.0)).done:
        pass
    return estimate


def plainly(bench: Workbench) -> tuple[int, int]:
    """Right answers, and answers as the dense model's, of a fresh masked copy."""
    masked = pc.apply(bench.plan, bench.model, examples())
    inputs, targets = examples().batch(slice(None)), bench.dataset.validation.labels()  # type: ignore[union-attr]
    with torch.no_grad():
        answers, dense = masked(inputs).argmax(1), bench.model.module(inputs).argmax(1)
    return int((answers == targets).sum()), int((answers == dense).sum())


def figures(bench: Workbench) -> tuple[int, int]:
    finish(bench)
    return bench._tally.correct, bench._tally.agreeing


def random_edit(draw: random.Random, plans: list[Plan], criteria: tuple[str, ...]) -> Plan:
    """Undo to any earlier plan, turn the scope, or edit one or more layers in any order."""
    kind, plan = draw.random(), plans[-1]
    if kind < 0.15:
        return draw.choice(plans)
    if kind < 0.25:
        return plan.model_copy(update={"scope": draw.choice(["layer", "model"])})
    return plan.with_layers(
        {
            name: {
                "sparsity": draw.choice([0.0, 0.25, 0.5, 0.75]),
                "granularity": draw.choice(WAYS),
                "criterion": draw.choice(criteria),
                "locked": draw.random() < 0.2,
            }
            for name in draw.sample(LAYERS, draw.choice([1, 1, 1, 2, 3]))
        }
    )


@pytest.mark.parametrize("seed", range(12))
def test_any_walk_of_edits_ends_at_the_figures_of_a_fresh_masked_copy(reference: Reference, seed: int) -> None:
    draw, bench = random.Random(seed), Workbench(reference.model, reference=reference)
    criteria = ("l1", "l2", "random") if seed % 3 == 0 else ("l1",)  # layers compete by one criterion only
    plans = [bench.plan]
    for _ in range(10):
        try:
            exact = bench.set_plan(random_edit(draw, plans, criteria))
        except PruningError:
            continue  # refused: the present plan stays, which the comparison below finds out
        finally:
            for _ in range(draw.choice([0, 0, 1, 2, 3])):
                bench.refine(0.0)
        plans.append(bench.plan)
        kept = {name: int(mask.sum()) for name, mask in bench.masks().items()}
        assert {name: exact.kept[name] for name in kept} == kept
        if draw.random() < 0.5:
            assert figures(bench) == plainly(bench)
    assert figures(bench) == plainly(bench)
    assert len(plans) > 5


def test_each_layer_changes_some_answers_and_not_all(reference: Reference) -> None:
    """What the comparisons above and below rest on."""
    for name in LAYERS:
        bench = Workbench(reference.model, reference=reference)
        bench.edit(name, sparsity=0.5)
        assert 20 < figures(bench)[1] < N - 5, name


def test_edits_from_late_to_early_and_back_forget_stale_activations(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    for name in ("fc", "stem", "twice", "branch", "fc", "short", "stem"):
        bench.edit(name, sparsity=0.75 - bench.plan.layer(name).sparsity / 2)
        assert figures(bench) == plainly(bench), name


def test_the_estimate_narrows_and_carries_its_count(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    bench.edit("branch", sparsity=0.5)
    assert not bench.started
    with pytest.raises(DataError, match="call refine"):
        bench.estimate()
    first, second, last = (bench.refine(0.0) for _ in range(3))
    assert [e.n for e in (first, second, last)] == [100, 256, N]
    assert [e.done for e in (first, second, last)] == [False, False, True]
    assert first.interval[1] - first.interval[0] > last.interval[1] - last.interval[0]
    assert last.interval == wilson(bench._tally.correct, N)
    assert last.accuracy == bench._tally.correct / N
    assert last.drop == pytest.approx(last.accuracy - reference.dense.correct / N)
    assert bench.refine(0.0) == last
    bench.edit("branch", sparsity=0.25)
    assert not bench.started


def test_refine_goes_on_until_the_time_is_over(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    started = perf_counter()
    assert bench.refine(60.0).done
    assert perf_counter() - started < 30


def test_exact_figures_are_those_of_the_masked_module(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    exact = bench.edit_many({"branch": {"sparsity": 0.5, "granularity": "row"}, "fc": {"sparsity": 0.25}})
    measured = Structure.from_module(bench.model.graph, pc.apply(bench.plan, bench.model))
    assert (exact.kept["branch"], exact.kept["fc"], exact.kept["stem"]) == (288, 864, 72)
    for name in ("sparsity", "nonzero_params", "effective_macs", "storage_bitmask"):
        assert METRICS[name](exact).value == METRICS[name](measured).value
    assert bench.exact(pc.Plan()).n_kept == exact.n_weights


def test_scope_model_keeps_the_exact_budget_and_the_largest_of_all(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    wishes = {name: pc.LayerPlan(sparsity=0.6) for name in LAYERS}
    exact = bench.set_plan(bench.plan.model_copy(update={"layers": wishes, "scope": "model"}))
    weights = [reference.model.graph.weight(name).abs().flatten() for name in LAYERS]
    assert exact.n_weights - exact.n_kept == round(sum(0.6 * len(weight) for weight in weights))
    threshold = torch.cat(weights).sort(descending=True).values[exact.n_kept - 1]
    for name, weight in zip(LAYERS, weights, strict=True):
        assert torch.equal(bench.masks()[name].flatten(), weight >= threshold)
    assert figures(bench) == plainly(bench)


def test_scope_model_measures_what_a_criterion_makes_of_the_kept_weights(reference: Reference) -> None:
    data = Dataset("noise", "Noise", {"calibration": examples(), "validation": examples()})
    bench = Workbench(reference.model, data)
    wishes = {name: pc.LayerPlan(sparsity=0.7, criterion="sparsegpt") for name in ("branch", "short")}
    plan = bench.plan.model_copy(update={"layers": wishes, "scope": "model"})
    found = []
    for update in (True, False):
        bench.set_plan(plan.with_layers({name: {"update_weights": update} for name in wishes}))
        finish(bench)
        masked, inputs = pc.apply(bench.plan, bench.model, examples()), examples().batch(slice(None))
        with torch.no_grad():
            agreeing = int((masked(inputs).argmax(1) == reference.model.module(inputs).argmax(1)).sum())
        assert bench._tally.agreeing == agreeing
        found.append(agreeing)
    assert found[0] > found[1]


def test_a_locked_layer_does_not_compete(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    wishes = {name: pc.LayerPlan(sparsity=0.5, locked=name == "stem") for name in LAYERS}
    exact = bench.set_plan(bench.plan.model_copy(update={"layers": wishes, "scope": "model"}))
    assert exact.kept["stem"] == 36
    assert exact.kept["fc"] != 576


@pytest.mark.parametrize(
    ("name", "changes", "error", "words"),
    [
        ("fcc", {"sparsity": 0.5}, UnknownName, "'fcc'; did you mean 'fc'"),
        ("fc", {"sparsity": 1.0}, PlanError, "fc: sparsity 1 would remove all 1152"),
        ("fc", {"sparsity": 0.3, "granularity": "n_m"}, PlanError, r"fc: 2:4 removes 0 or 0\.5"),
        ("fc", {"sparsity": 0.5, "criterion": "bn_scale"}, PruningError, "fc: bn_scale needs a batch norm"),
        ("fc", {"sparsity": 0.5, "colour": 3}, PlanError, "colour"),
    ],
)
def test_a_refused_edit_leaves_everything_as_it_was(
    reference: Reference, name: str, changes: dict[str, object], error: type[PruningError], words: str
) -> None:
    bench = Workbench(reference.model, reference=reference)
    bench.edit("branch", sparsity=0.5)
    before, plan = figures(bench), bench.plan
    with pytest.raises(error, match=words):
        bench.edit(name, **changes)
    assert bench.plan is plan
    assert figures(bench) == before == plainly(bench)


def test_without_labels_it_answers_with_agreement(reference: Reference) -> None:
    bench = Workbench(reference.model, dataset(None))
    bench.edit("branch", sparsity=0.75)
    estimate = finish(bench)
    agreeing = bench._tally.agreeing
    assert (estimate.accuracy, estimate.drop) == (None, agreeing / N - 1)
    assert estimate.interval == wilson(agreeing, N)


def test_without_data_exact_figures_work_and_accuracy_says_what_is_missing(reference: Reference) -> None:
    bench = Workbench(reference.model)
    assert bench.edit("fc", sparsity=0.5).kept["fc"] == 576
    assert bench.masks()["fc"].sum() == 576
    with pytest.raises(DataError, match="without data there is no accuracy"):
        bench.refine()


def test_a_model_that_answers_differently_each_time_is_refused(reference: Reference) -> None:
    class Random(Net):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(x), training=True)

    model = Model("random", Random().eval(), reference.model.example_inputs)
    with pytest.raises(ModelError, match="'random' answers differently each time"):
        Workbench(model, reference.dataset).edit("fc", sparsity=0.5)


def test_sessions_on_one_reference_do_not_disturb_each_other(reference: Reference) -> None:
    shared = Reference(reference.model, reference.dataset)
    benches = [Workbench(shared.model, reference=shared) for _ in LAYERS]
    found: dict[str, tuple[int, int]] = {}

    def session(bench: Workbench, name: str) -> None:
        for sparsity in (0.25, 0.75, 0.5):
            bench.edit(name, sparsity=sparsity)
            bench.refine(0.0)
        found[name] = figures(bench)

    threads = [Thread(target=session, args=pair) for pair in zip(benches, LAYERS, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: plainly(bench) for name, bench in zip(LAYERS, benches, strict=True)}


def test_an_edit_while_another_thread_refines_is_measured_alone(reference: Reference) -> None:
    bench = Workbench(reference.model, reference=reference)
    stop = False

    def refine() -> None:
        while not stop:
            bench.refine(0.0)

    thread = Thread(target=refine)
    thread.start()
    try:
        for name in LAYERS * 4:
            sparsity = 0.5 if bench.plan.layer(name).sparsity != 0.5 else 0.75
            bench.set_plan(bench.plan.with_layer(name, sparsity=sparsity))
    finally:
        stop = True
        thread.join()
    assert figures(bench) == plainly(bench)


def test_seconds_for_grows_with_the_work(reference: Reference) -> None:
    one, many = (reference.seconds_for({"stem": n}, 100) for n in (1, 9))
    assert 0 < one < many < 9 * one
    assert reference.seconds_for({"fc": 9}, 100) < many
    assert reference.seconds_for({"stem": 1}, 200) == pytest.approx(2 * one)
