"""The dialog "Fit to budget": what it asks, finds and refuses, and that a plan used is one step of undo."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import pruning_core as pc
from explorer import fit_work, jobs, resources, work
from explorer.figures import allocations
from explorer.figures.allocations import Point
from explorer.fit_work import Asked, Fitted, Terms
from explorer.present import fit as present
from explorer.present import fit_found as found
from explorer.present import thresholds
from explorer.state import ExplorerState, to_link
from pruning_core.allocation import COSTS, Allocation, Budget, Comparison
from pruning_core.errors import Cancelled, PlanError
from pruning_core.metrics import Measurement
from pruning_core.plan import LayerPlan, Plan
from pruning_core.sensitivity import Request

APP = str(Path(__file__).parents[2] / "explorer" / "app.py")
HALF = Budget("size", 0.5)
LENET, MNIST = "lenet_300_100", "mnist"
SAMPLES = 64


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No jobs and no curves of other tests; curves take few examples."""
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(work, "_curves", {})
    monkeypatch.setattr(present, "SAMPLES", (SAMPLES,))
    monkeypatch.setattr(present, "SWEEP_SECONDS", 0)
    yield
    for job in list(jobs._jobs.values()):
        job.cancel()
        job._future and job._future.exception()


@pytest.fixture(scope="module")
def bench() -> pc.Workbench:
    reference = resources.reference(LENET, MNIST)
    return pc.Workbench(reference.model, reference=reference)


def lenet(**layers: Any) -> ExplorerState:
    return ExplorerState(model=LENET, data=MNIST, plan=Plan().with_layers(layers))


# ---- what is asked


def test_a_fit_reads_ways_and_locks_of_a_plan_but_not_what_free_layers_lose() -> None:
    plan = Plan(scope="model").with_layers(
        {
            "fc1": {"sparsity": 0.5},
            "fc2": {"sparsity": 0.3, "criterion": "l2"},
            "fc3": {"sparsity": 0.2, "locked": True},
        }
    )
    basis = present.basis(plan)
    assert basis.layers == {
        "fc2": LayerPlan(criterion="l2"),
        "fc3": LayerPlan(sparsity=0.2, locked=True),
    }
    assert basis.scope == "layer"
    assert present.basis(basis) == basis


def test_limits_of_single_layers_come_from_the_table() -> None:
    nan = float("nan")
    records = [
        {"layer": "fc1", "now": 0.0, "stays": True, "least": nan, "most": None},
        {"layer": "fc2", "now": 0.0, "stays": False, "least": 20.0, "most": 60.0},
        {"layer": "fc3", "now": 0.0, "stays": False, "least": nan, "most": nan},
    ]
    limits = present.limits_of(records)
    assert limits == {"fc1": {"stays": True}, "fc2": {"stays": False, "least": 0.2, "most": 0.6}}
    terms = present.terms(lenet(fc1={"sparsity": 0.4}), limits, 0.01, SAMPLES)
    assert terms == Terms(
        Plan().with_layer("fc1", sparsity=0.4), ("fc1",), (("fc2", 0.2),), (("fc2", 0.6),), 0.01, SAMPLES
    )


@pytest.mark.parametrize(
    ("metric", "value", "unit", "limit"),
    [
        ("accuracy_drop", 1.5, "pt", Budget("accuracy_drop", 0.015)),
        ("size", 40.0, "% of dense", Budget("size", 0.4)),
        ("size", 200.0, "kB", Budget("size", 200_000, is_fraction=False)),
        ("macs", 2.0, "M", Budget("macs", 2_000_000, is_fraction=False)),
        ("latency", 1.5, "ms", Budget("latency", 1_500_000, is_fraction=False)),
    ],
)
def test_a_limit_is_said_in_points_percent_or_an_amount(metric: str, value: float, unit: str, limit: Budget) -> None:
    assert unit in present.units(metric)
    assert present.budget(metric, value, unit) == limit


def test_the_usual_limit_is_the_tolerance_or_half_of_the_dense_model(bench: pc.Workbench) -> None:
    state = replace(lenet(), tolerance=2.5)
    assert present.usual_limit(bench, state, "accuracy_drop", "pt") == (2.5, 0.1)
    assert present.usual_limit(bench, state, "size", "% of dense")[0] == 50
    assert present.usual_limit(bench, state, "params", "k") == (133.0, 10.0)
    assert present.limit_help(bench, "params").endswith("The dense model has 267 K.")


def test_ways_are_said_in_words(bench: pc.Workbench) -> None:
    assert present.ways(bench, Plan()) == "Layers are cut as their rows say: fine by magnitude."
    mixed = Plan().with_layer("fc2", granularity="row", criterion="l2")
    assert present.ways(bench, mixed).endswith("2 fine by magnitude, 1 row by l2 norm.")
    assert not present.cuts_channels(bench, mixed)
    assert present.cuts_channels(bench, Plan().with_layer("fc2", granularity="output_channel"))


# ---- what is missing


def known_cells(**more: Any) -> None:
    resources.reference(LENET, MNIST)
    work.sweep_and_keep(jobs.Job("key", "title"), LENET, MNIST, Request(samples=SAMPLES, **more), lambda _: None)


def test_only_what_is_not_known_of_enough_examples_is_measured(bench: pc.Workbench) -> None:
    asked = present.requests(bench, Plan(), SAMPLES)
    assert [request.layers for request in asked] == [("fc1", "fc2", "fc3")]
    nothing = present.missing(bench, lenet(), asked)
    assert (nothing.n_cells, nothing.n_known) == (33, 0)
    assert nothing.seconds > 0
    known_cells(layers=("fc1", "fc3"))
    some = present.missing(bench, lenet(), asked)
    assert (some.n_cells, some.n_known) == (11 + 2 * 2, 18)
    assert [(r.layers, r.levels) for r in some.requests] == [(("fc1", "fc2", "fc3"), present.LEVELS)]
    known_cells(layers=("fc2",), levels=present.LEVELS)
    rest = present.missing(bench, lenet(), asked)
    assert [(r.layers, r.levels) for r in rest.requests] == [(("fc1", "fc3"), (0.95, 0.98))]
    assert present.missing(bench, lenet(), present.requests(bench, Plan(), SAMPLES + 1)).n_known == 0
    assert "15 cells of 64 examples each are not measured yet" in present.missing_words(some, SAMPLES)
    assert (
        present.missing_words(present.Missing((), 0, 33, 0.0), SAMPLES)
        == "Curves are there: 33 cells of 64 examples each."
    )


def test_each_way_has_its_own_curves(bench: pc.Workbench) -> None:
    plan = Plan().with_layer("fc2", granularity="row", criterion="l2")
    asked = present.requests(bench, plan, SAMPLES)
    assert [(r.granularity, r.criterion, r.layers) for r in asked] == [
        ("fine_grained", "l1", ("fc1", "fc3")),
        ("row", "l2", ("fc2",)),
    ]


def test_sizes_of_samples_end_at_all_there_are(bench: pc.Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert present.sample_sizes(bench) == [2000, SAMPLES]
    assert present.usual_samples(bench, lenet()) == SAMPLES
    monkeypatch.setattr(present, "SWEEP_SECONDS", 1e9)
    assert present.usual_samples(bench, lenet()) == 2000


# ---- jobs


def asked(kind: str = "limit", goal: Budget | float = HALF, **terms: Any) -> Asked:
    return Asked(kind, Terms(Plan(), samples=SAMPLES, **terms), goal)


def fitted(bench: pc.Workbench, wanted: Asked) -> jobs.Job:
    requests = present.requests(bench, wanted.terms.plan, SAMPLES)
    state = replace(lenet(), plan=wanted.terms.plan)
    job = fit_work.start(LENET, MNIST, wanted, requests, present.missing(bench, state, requests).requests)
    assert job._future is not None
    job._future.result(120)
    return job


def test_a_limit_is_kept_and_what_was_predicted_stands_beside_what_was_measured(bench: pc.Workbench) -> None:
    job = fitted(bench, asked())
    assert job.state == "done", job.error
    result: Fitted = job.result
    dense, now = result.costs["size"]
    assert now <= dense / 2
    assert (dense, now) == tuple(
        COSTS["size"](fit_work.problem(LENET, MNIST, Terms(Plan())), p) for p in (Plan(), result.allocation.plan)
    )
    assert result.allocation.measured_drop is not None
    assert result.allocation.measured_drop.n == 2000
    labels = [label for label, _, _ in found.figures(result)]
    assert labels == ["Predicted", "Measured", "Size", "MACs", "Parameters"]
    assert found.goal_words(job) == "Least drop, size at most 50 % of dense"
    assert found.is_current(job, lenet(fc1={"sparsity": 0.9}))
    assert not found.is_current(job, lenet(fc1={"locked": True}))
    assert not found.is_current(job, lenet(fc1={"criterion": "l2"}))
    assert fit_work.newest("limit", LENET, MNIST) is job
    assert fit_work.newest("compare", LENET, MNIST) is None


def test_equal_fits_are_one_job_and_others_are_not() -> None:
    keys = [fit_work._key(LENET, MNIST, a) for a in (asked(), asked(), asked(least_gain=0.1))]
    assert keys[0] == keys[1] != keys[2]
    assert hash(keys[0]) == hash(keys[1])


def test_all_allocations_are_compared_and_a_refusal_is_its_sentence(bench: pc.Workbench) -> None:
    job = fitted(bench, asked("compare", 0.5, maximum=(("fc1", 0.6),)))
    rows: tuple[Comparison, ...] = job.result
    assert [row.name for row in rows if row.refusal is None] == ["sensitivity", "budget"]
    table = found.table(rows)
    assert table[0]["refusal"] == (
        "fc1: uniform follows its rule alone; sensitivity and budget take a least or largest sparsity"
    )
    used = table[-1]
    assert used["plan"].layer("fc1").sparsity <= 0.6
    assert [point.label for point in found.points(rows)] == ["By sensitivity", "Budget"]
    assert used["layers"].startswith("fc1 ")
    assert found.goal_words(job) == "All allocations at an overall sparsity of 50 %"


def test_a_limit_out_of_reach_fails_in_one_sentence_and_a_stopped_fit_keeps_its_cells(bench: pc.Workbench) -> None:
    job = fitted(bench, asked(goal=Budget("params", 0.001)))
    assert job.state == "failed"
    assert "no plan on the measured levels has at most 266 parameters" in job.error
    stopped = jobs.Job("key", "title")
    stopped.cancel()
    with pytest.raises(Cancelled):
        fit_work._sweep(stopped, LENET, MNIST, (Request(samples=SAMPLES, criterion="l2", layers=("fc3",)),))


# ---- what was found


def measurement(value: float, low: float, high: float) -> Measurement:
    return Measurement(value, "fraction", False, (low, high), "", 2000)


def test_figures_are_changes_in_points() -> None:
    allocation = Allocation(Plan(), {}, 0.008, measurement(0.012, 0.006, 0.018), (0.004, 0.012))
    rows = found.figures(Fitted(allocation, {"size": (200_000, 150_000), "latency": (2_000_000, 1_500_000)}))
    assert rows == [
        ("Predicted", "−0.8 ± 0.4 pt", "sum of single drops"),
        ("Measured", "−1.2 ± 0.6 pt", "all layers together, n 2,000"),
        ("Size", "150 KB", "−25.0 %, dense 200 KB"),
        ("Predicted latency", "1.50 ms", "−25.0 %, dense 2.00 ms"),
    ]


def test_a_plot_point_is_a_change_with_its_interval() -> None:
    row = Comparison("erk", "ERK", Plan(), 1, 0.5, (), 0.01, (0.0, 0.02), measurement(0.02, 0.01, 0.03))
    refused = Comparison("lamp", "LAMP", refusal="no")
    assert found.points((row, refused)) == [Point("ERK", -1.0, (-2.0, -0.0), -2.0, (-3.0, -1.0))]


def test_each_layer_shows_what_it_loses_now_and_then(bench: pc.Workbench) -> None:
    before = Plan().with_layers({"fc1": {"sparsity": 0.5}, "fc3": {"locked": True}})
    rows = found.layer_rows(bench, before, before.with_layer("fc1", sparsity=0.7), {"fc2": "fc2: too dear"})
    assert [(r["Layer"], r["Now"], round(r["Then"]), r["Note"]) for r in rows] == [
        ("fc1", 50, 70, ""), ("fc2", 0, 0, "too dear"), ("fc3", 0, 0, "locked"),
    ]  # fmt: skip


POINTS = [Point("Uniform", -3.0, (-4.0, -2.0), -5.0, (-6.0, -4.5)), Point("LAMP", None, None, -1.0, None)]


def test_the_plot_has_a_row_for_each_allocation_with_the_first_on_top() -> None:
    figure = allocations.comparison(POINTS, tolerance=1.0)
    predicted, measured = figure.data
    assert list(predicted.x) == [-3.0]
    assert list(measured.x) == [-5.0, -1.0]
    assert [round(y) for y in measured.y] == [1, 0]
    assert list(measured.error_x.array) == [0.5, 0.0]
    assert list(measured.error_x.arrayminus) == [1.0, 0.0]
    assert {shape.x0 for shape in figure.layout.shapes} == {0, -1.0}
    assert "Uniform, measured: −5.0 pt, 95 % from −6.0 to −4.5" in measured.customdata[0]
    assert allocations.describe(POINTS) == (
        "Change of accuracy by allocation. Uniform: predicted −3.0 points and measured −5.0 points; "
        "LAMP: measured −1.0 points"
    )


def test_predictions_that_no_accuracy_can_reach_are_counted_and_not_drawn() -> None:
    far = [*POINTS, Point("ERK", -240.0, (-250.0, -230.0), -80.0, (-82.0, -78.0))]
    assert allocations.beyond(POINTS) == 0
    assert allocations.beyond(far) == 1
    assert allocations.comparison(POINTS, 1.0).layout.xaxis.range is None
    assert allocations.comparison(far, 1.0).layout.xaxis.range[0] == -100


# ---- thresholds


def test_a_selection_gives_each_free_row_its_sparsity(bench: pc.Workbench) -> None:
    plan = Plan().with_layers({"fc1": {"sparsity": 0.9, "locked": True}, "fc2": {"granularity": "row"}})
    chosen = thresholds.selected(bench, plan, "sparsity", 0.25)
    assert {name: (w.granularity, w.sparsity, w.locked) for name, w in chosen.layers.items()} == {
        "fc1": ("fine_grained", 0.9, True),
        "fc2": ("row", 0.25, False),
        "fc3": ("fine_grained", 0.25, False),
    }
    weight = bench.model.graph.weight("fc3")
    below = thresholds.selected(bench, Plan(), "threshold", 0.05)
    assert below.layer("fc3").sparsity == pytest.approx(float((weight.abs() < 0.05).float().mean()))
    together = thresholds.selected(bench, Plan(), "global_threshold", 0.6)
    assert found.overall(bench, together) == pytest.approx(0.6, abs=1e-5)
    deviations = thresholds.selected(bench, Plan(), "standard_deviations", 1.0)
    assert deviations.layer("fc3").sparsity == pytest.approx(float((weight.abs() < weight.std()).float().mean()))


def test_a_row_that_holds_a_locked_layer_is_left_as_it_is() -> None:
    reference = resources.reference("resnet_fashion", None)
    coupled = pc.Workbench(reference.model, reference=reference)
    rows = {"conv1": {"granularity": "output_channel"}, "layers.0.conv2": {"granularity": "output_channel"}}
    free = thresholds.selected(coupled, Plan().with_layers(rows), "sparsity", 0.5)
    assert free.layer("conv1").sparsity == 0.5
    assert "layers.0.conv2" not in {name for name, wish in free.layers.items() if wish.sparsity}, "one wish for the row"
    held = thresholds.selected(
        coupled, Plan().with_layers(rows).with_layer("layers.0.conv2", locked=True), "sparsity", 0.5
    )
    assert held.layer("conv1").sparsity == 0
    assert held.layer("fc").sparsity == 0.5


def test_scores_are_said_so_that_a_threshold_can_be_chosen(bench: pc.Workbench) -> None:
    least, middle, most = thresholds.score_range(bench, Plan()) or (0, 0, 0)
    half = thresholds.selected(bench, Plan(), "threshold", middle)
    assert 0 <= least < middle < most
    assert found.overall(bench, half) == pytest.approx(0.5, abs=1e-3)
    assert thresholds.score_range(bench, Plan().with_layer("fc1", granularity="n_m")) is None


def test_thresholds_refuse_in_their_sentence(bench: pc.Workbench) -> None:
    with pytest.raises(PlanError, match=r"fc1: the threshold 1e\+06 would remove all"):
        thresholds.selected(bench, Plan(), "threshold", 1e6)
    with pytest.raises(pc.PruningError, match="so no threshold fits; select it by sparsity"):
        thresholds.selected(bench, Plan().with_layer("fc1", granularity="n_m"), "threshold", 0.01)


# ---- the dialog


def opened(tab: str, **layers: Any) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120)
    app.query_params["s"] = to_link(lenet(**layers))
    app.run()
    app.session_state["explorer_state"] = replace(state_of(app), view={"fit": True})
    app.session_state["fit_tab"] = tab
    return app.run()


def state_of(app: AppTest) -> ExplorerState:
    state: ExplorerState = app.session_state["explorer_state"]
    return state


def words_of(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.warning, app.button, app.metric)
    return "\n".join(f"{getattr(e, 'value', '')} {getattr(e, 'label', '')}" for kind in kinds for e in kind)


def finished(app: AppTest, kind: str) -> AppTest:
    job = fit_work.newest(kind, LENET, MNIST)
    assert job is not None
    assert job._future is not None
    job._future.result(120)
    return app.run()


def undone_is(app: AppTest, before: Plan) -> None:
    """The plan is another one, and one step back is the one before; the dialog is closed."""
    assert state_of(app).plan != before
    assert state_of(app).past == (before,)
    assert not state_of(app).view["fit"]
    assert not [b for b in app.button if (b.key or "").startswith("fit_")]


def test_a_limit_is_fitted_and_used() -> None:
    app = opened("Limit")
    before = state_of(app).plan
    app.selectbox(key="fit_metric").set_value("size").run()
    assert app.button(key="fit_start_limit").label == "Measure curves, then fit"
    app.button(key="fit_start_limit").click().run()
    app = finished(app, "limit")
    assert not app.exception
    assert app.button(key="fit_start_limit").label == "Fit"
    assert "Least drop, size at most 50 % of dense" in words_of(app)
    assert "sum of single drops" in words_of(app)
    app.button(key="fit_use_limit").click().run()
    assert not app.exception
    undone_is(app, before)
    plan = state_of(app).plan
    job = fit_work.newest("limit", LENET, MNIST)
    assert job is not None
    assert {n: w.sparsity for n, w in plan.layers.items()} == {
        n: w.sparsity for n, w in job.result.allocation.plan.layers.items()
    }


def test_all_allocations_are_compared_and_one_is_used() -> None:
    app = opened("Sparsity")
    before = state_of(app).plan
    app.number_input(key="fit_sparsity").set_value(30.0).run()
    app.button(key="fit_start_compare").click().run()
    app = finished(app, "compare")
    assert not app.exception
    assert "All allocations at an overall sparsity of 30 %" in words_of(app)
    app.button(key="fit_use_uniform").click().run()
    assert not app.exception
    undone_is(app, before)
    assert [w.sparsity for w in state_of(app).plan.layers.values()] == [0.3, 0.3, 0.3]


def test_a_threshold_is_used_and_a_refused_one_is_said() -> None:
    app = opened("Threshold")
    before = state_of(app).plan
    app.selectbox(key="fit_selection").set_value("threshold").run()
    assert "Scores per weight lie from" in words_of(app)
    app.number_input(key="fit_number_threshold").set_value(1e6).run()
    assert "would remove all" in words_of(app)
    assert not [b for b in app.button if b.key == "fit_use_threshold"]
    app.number_input(key="fit_number_threshold").set_value(0.02).run()
    app.button(key="fit_use_threshold").click().run()
    assert not app.exception
    undone_is(app, before)


def test_a_limit_that_has_no_meaning_is_refused_before_anything_runs() -> None:
    app = opened("Limit", fc1={"locked": True})
    assert "Locked and so left alone: fc1." in words_of(app)
    app.selectbox(key="fit_metric").set_value("latency").run()
    assert "latency does not fall with fine\\_grained" in words_of(app)
    assert not [b for b in app.button if b.key == "fit_start_limit"]


def test_without_data_only_a_threshold_works() -> None:
    app = AppTest.from_file(APP, default_timeout=120)
    app.query_params["s"] = to_link(replace(lenet(), data=None))
    app.run()
    app.session_state["explorer_state"] = replace(state_of(app), view={"fit": True})
    app.run()
    assert "so this needs data" in words_of(app)
    app.session_state["fit_tab"] = "Threshold"
    app.run()
    assert not app.exception
    app.button(key="fit_use_threshold").click().run()
    assert {w.sparsity for w in state_of(app).plan.layers.values()} == {0.5}


def test_a_fit_is_there_after_a_reload_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waiting = Event(), Event()

    def slow(job: jobs.Job, *_: Any) -> None:
        job.progress = fit_work.Step("Measuring fc1 alone, 3 of 33 cells", 0.25, 8.0)
        begun.set()
        while not job.cancelled():
            waiting.wait(0.01)
        raise Cancelled("the fit was stopped")

    monkeypatch.setattr(fit_work, "_sweep", slow)
    app = opened("Limit")
    app.button(key="fit_start_limit").click().run()
    assert begun.wait(10)
    again = opened("Limit")  # a new session, as after a reload
    assert again.button(key="fit_start_limit").disabled
    again.button(key="fit_cancel_limit").click().run()
    job = fit_work.newest("limit", LENET, MNIST)
    assert job is not None
    assert job._future is not None
    job._future.result(10)
    assert job.state == "stopped"
    again.run()
    assert not again.exception
    assert "Stopped. The cells that were measured are kept." in words_of(again)
    assert not again.button(key="fit_start_limit").disabled


def test_layers_keep_their_ways_and_what_stays_when_a_plan_is_used(bench: pc.Workbench) -> None:
    plan = Plan().with_layers(
        {"fc1": {"sparsity": 0.25}, "fc2": {"granularity": "row", "criterion": "l2"}, "fc3": {"locked": True}}
    )
    terms = present.terms(replace(lenet(), plan=plan), {"fc1": {"stays": True}}, 0.0, SAMPLES)
    job = fitted(bench, Asked("limit", terms, Budget("params", 0.7)))
    assert job.state == "done", job.error
    fit = job.result.allocation.plan
    assert fit.layer("fc1") == plan.layer("fc1")
    assert fit.layer("fc3") == plan.layer("fc3")
    assert (fit.layer("fc2").granularity, fit.layer("fc2").criterion) == ("row", "l2")
    assert fit.layer("fc2").sparsity > 0
    assert found.is_current(job, replace(lenet(), plan=fit))
