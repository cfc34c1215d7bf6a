"""Every page in every state, without a browser: what is drawn, what widgets do, what a refusal leaves alone."""

import base64
import json
import re
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer import jobs, resources, tasks, work
from explorer.settings import SETTINGS
from explorer.state import ExplorerState
from explorer.tasks import findings
from pruning_core.errors import Cancelled
from pruning_core.sensitivity import Cell, Progress, Tally
from pruning_core.sensitivity.sweep import Request

APP = str(Path(__file__).parents[2] / "explorer" / "app.py")
PAGES = ("explore", "sensitivity", "export")
LENET = "lenet_300_100"
SQUEEZE = "torchvision:squeezenet1_1"
BEGIN = "#### Choose a sample or open a model to begin."


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No download is tried; no jobs and no curves of other tests."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("a test tried to reach another host")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(work, "_curves", {})
    yield
    for job in list(jobs._jobs.values()):
        job.cancel()
        job._future and job._future.exception()


def start(link: Any = None) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120)
    if link is not None:
        app.query_params["s"] = link if isinstance(link, str) else packed(link)
    return app.run()


def packed(document: Any) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode())).decode().rstrip("=")


def link_to(model: str, data: str | None, layers: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"v": 1, "model": model, "data": data, "plan": {"layers": layers or {}}, "layer": None, "tolerance": 1.0}


def state_of(app: AppTest) -> ExplorerState:
    found: ExplorerState = app.session_state["explorer_state"]
    return found


def component(app: AppTest, name: str) -> dict[str, Any]:
    """The data of the component with this name."""
    found = [shown.proto for shown in app.get("bidi_component") if shown.proto.component_name.endswith(f"_{name}")]
    assert len(found) == 1, f"{len(found)} components {name!r}"
    document: dict[str, Any] = json.loads(found[0].json)
    return document


def words_of(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.subheader, app.warning, app.button)
    texts = (str(getattr(each, "value", "")) + str(getattr(each, "label", "")) for kind in kinds for each in kind)
    return re.sub(r"\\([^\w\s])", r"\1", "\n".join(texts))  # as it is read: without the escapes of Markdown


def menu(app: AppTest, what: str) -> Any:
    """Return the choice among models, or data, that is shown."""
    return next(radio for radio in app.radio if str(radio.key).startswith(f"pick_{what}:"))


STATES = {
    "no model": None,
    "lenet, dense": link_to(LENET, "mnist"),
    "lenet, pruned": link_to(LENET, "mnist", {"fc1": {"sparsity": 0.5}}),
    "no data": link_to(SQUEEZE, None, {"classifier.1": {"sparsity": 0.5}}),
    "a broken link": "broken",
}
NO_DATA = "Without data there is sparsity, size and FLOPs, but no accuracy. Add data."
SHOWN = {
    ("no model", "explore"): [BEGIN, "LeNet-300-100", "Nothing leaves this machine."],
    ("no model", "sensitivity"): [BEGIN],
    ("no model", "export"): [BEGIN],
    ("a broken link", "explore"): [BEGIN, "The link could not be read, so this is a fresh start."],
    ("lenet, dense", "explore"): ["266,610 parameters, 532 K FLOPs. Input 1 × 28 × 28, 10 outputs."],
    ("lenet, dense", "sensitivity"): ["How much can each layer lose?", "A sweep of all 3 layers takes about"],
    ("lenet, dense", "export"): ["Take it with you", "The plan removes nothing yet."],
    ("lenet, pruned", "export"): ["Make the files"],
    ("no data", "explore"): ["random weights: the trained ones could not be downloaded"],
    ("no data", "sensitivity"): [NO_DATA],
    ("no data", "export"): ["Make the files"],
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", STATES)
def test_a_page_is_drawn_in_every_state(name: str, page: str) -> None:
    app = start(STATES[name])
    if page != "explore":
        app.switch_page(f"views/{page}.py").run()
    assert not app.exception
    for words in SHOWN.get((name, page), []):
        assert words in words_of(app)


def test_the_samples_are_buttons() -> None:
    app = start()
    assert [button.key for button in app.button] == [
        f"open_{name}" for name in (LENET, "guide_cnn", "resnet_fashion", "mobilenet_fashion", "vit_fashion")
    ]


def test_opening_a_sample_draws_headline_mixer_and_panel() -> None:
    app = start()
    app.button(key=f"open_{LENET}").click().run()
    assert not app.exception
    assert [row["name"] for row in component(app, "mixer")["rows"]] == ["fc1", "fc2", "fc3"]
    assert [metric["label"] for metric in component(app, "headline")["metrics"]] == [
        "Accuracy",
        "Size",
        "FLOPs",
        "Latency",
    ]
    assert component(app, "panel")["layer"] == "fc1"
    assert state_of(app).data == "mnist"
    assert app.query_params["s"]


def test_without_data_there_is_size_but_no_accuracy() -> None:
    app = start(STATES["no data"])
    accuracy, size, flops, _ = component(app, "headline")["metrics"]
    assert (accuracy["value"], accuracy["how"]) == ("–", "no data")
    assert size["change"].startswith("−")
    assert "skipping zeros" in flops["how"]
    assert component(app, "mixer")["empty_curves"]["text"] == NO_DATA


def test_the_headline_of_a_pruned_model_has_an_interval_and_goes_on_until_all_is_measured() -> None:
    app = start(STATES["lenet, pruned"])
    data = component(app, "headline")
    assert data["refresh"] is not None
    accuracy = data["metrics"][0]
    assert accuracy["busy"]
    assert accuracy["interval"].startswith("± ")
    assert accuracy["how"] == "n 100 · 95 %"
    app.session_state["explorer_workbench"][1].refine(60)
    app.run()
    data = component(app, "headline")
    assert data["refresh"] is None
    assert data["metrics"][0]["how"] == "n 2,000 · 95 %"
    assert data["announce"].startswith("Accuracy ")


# ---- data


@pytest.fixture
def small_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Data on offer whose images no sample model takes."""
    path = tmp_path / "small.npz"
    np.savez(path, x=np.zeros((40, 1, 8, 8), np.float32), y=np.arange(40) % 10)
    monkeypatch.setattr(SETTINGS, "data", str(path))
    return str(path)


def test_data_that_does_not_fit_is_one_sentence_and_nothing_is_lost(small_images: str) -> None:
    app = start(link_to(LENET, "mnist", {"fc1": {"sparsity": 0.5}}))
    before = state_of(app)
    menu(app, "data").set_value(small_images).run()
    assert not app.exception
    after = state_of(app)
    assert (after.model, after.data, after.plan) == (before.model, before.data, before.plan)
    (part,) = component(app, "mixer")["note"]["text_parts"]
    assert part["text"] == after.notice
    assert "8" in after.notice
    assert menu(app, "data").value == "mnist", "the menu shows what is loaded"


def test_a_link_to_data_of_another_start_shows_them_in_the_menu(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((90, 1, 28, 28), np.float32), y=np.arange(90) % 10)
    app = start(link_to(LENET, str(tmp_path / "own.npz")))
    assert not app.exception
    assert menu(app, "data").value == str(tmp_path / "own.npz")


def test_a_model_that_is_not_there_is_one_sentence_and_nothing_is_lost() -> None:
    app = start(STATES["lenet, pruned"])
    before = state_of(app)
    app.text_input(key="pick_torchvision").set_value("resnet19").run()
    assert not app.exception
    assert "torchvision has no model 'resnet19'" in state_of(app).notice
    assert (state_of(app).model, state_of(app).plan) == (before.model, before.plan)
    assert menu(app, "model").value == LENET


def test_a_torchvision_model_opens_by_its_name_alone() -> None:
    app = start()
    app.text_input(key="pick_torchvision").set_value("squeezenet1_1").run()
    assert not app.exception
    assert state_of(app).model == menu(app, "model").value == SQUEEZE
    assert component(app, "mixer")["rows"][0]["name"] == "features.0"


def test_another_sample_is_chosen_in_the_menu() -> None:
    app = start(STATES["lenet, pruned"])
    menu(app, "model").set_value("guide_cnn").run()
    assert not app.exception
    assert (state_of(app).model, state_of(app).data) == ("guide_cnn", "mnist")
    assert state_of(app).plan.layers == {}
    menu(app, "model").set_value("resnet_fashion").run()
    assert (state_of(app).data, menu(app, "data").value) == ("fashion_mnist", "fashion_mnist")


# ---- settings of the selected layer


def test_the_settings_of_a_pattern_reach_the_plan() -> None:
    app = start(link_to(LENET, "mnist", {"fc1": {"granularity": "n_m", "sparsity": 0.5}}))
    (field,) = (each for each in app.number_input if each.key.endswith(":n"))
    assert field.value == 2
    field.set_value(1).run()
    assert not app.exception
    wish = state_of(app).plan.layer("fc1")
    assert (wish.settings["n"], wish.sparsity) == (1, 0.75)
    assert len(state_of(app).past) == 1
    row = component(app, "mixer")["rows"][0]
    assert (row["granularity"], row["sparsity"]) == ("n_m?m=4&n=1", 0.75)


def test_a_setting_that_does_not_fit_is_refused_and_the_field_shows_the_old_one() -> None:
    app = start(link_to(LENET, "mnist", {"fc1": {"granularity": "n_m", "sparsity": 0.5}}))
    field = next(each for each in app.number_input if each.key.endswith(":n"))
    field.set_value(5).run()
    assert not app.exception
    assert state_of(app).plan.layer("fc1").sparsity == 0.5
    assert state_of(app).notice
    assert next(each for each in app.number_input if each.key.endswith(":n")).value == 2


# ---- sensitivity


def sensitivity(link: Any) -> AppTest:
    return start(link).switch_page("views/sensitivity.py").run()


def swept(app: AppTest) -> AppTest:
    job = work.last_sweep(LENET, "mnist")
    assert job is not None
    assert job._future is not None
    job._future.result(60)
    return app.run()


def test_a_sweep_is_started_and_shown() -> None:
    app = sensitivity(STATES["lenet, dense"])
    app.number_input(key="sweep_n").set_value(64).run()
    app.button(key="start_sweep").click().run()
    app = swept(app)
    assert not app.exception
    data = component(app, "sweep")
    assert [row["name"] for row in data["rows"]] == ["fc1", "fc2", "fc3"]
    assert {cell["state"] for row in data["rows"] for cell in row["cells"]} == {"done"}
    assert "30 cells in" in words_of(app)
    assert app.button(key="start_sweep").label == "Sweep again"


def test_a_sweep_that_stands_says_so_in_every_tab(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(task: Any, *_: Any) -> Any:
        cell = Cell("fc1", 0.5, 0.5, (Tally(n=64, correct=64, labelled=True),), state="preview")
        while not task.cancelled():
            task.note(Progress(cell, 0.25, 1.0, 3, 30))
            time.sleep(0.01)
        raise Cancelled("stopped")

    monkeypatch.setattr(tasks.sweep, "run", endless)
    job, let_go = work.start_sweep(LENET, "mnist", Request()), Event()
    jobs.start("export", "", lambda _: let_go.wait(60), lane=jobs.INTERACTIVE)
    while not job.standing:
        time.sleep(0.01)
    for app in (sensitivity(STATES["lenet, dense"]) for _ in range(2)):
        (bar,) = app.get("progress")
        assert bar.proto.text == "Stands while other work runs · 3 of 30 cells · about 3 s left"
        assert app.button(key="start_sweep").label == "Sweeping"
    let_go.set()
    while job.standing:
        time.sleep(0.01)
    (bar,) = app.run().get("progress")
    assert bar.proto.text.startswith("Measuring `fc1` at 50 % · 3 of 30 cells")


def test_limits_become_a_plan_in_one_step_of_undo() -> None:
    app = sensitivity(STATES["lenet, dense"])
    app.number_input(key="sweep_n").set_value(64).run()
    app.button(key="start_sweep").click().run()
    app = swept(app)
    app.button(key="use_limits").click().run()
    assert not app.exception
    now = state_of(app)
    assert len(now.past) == 1
    limits = {row["name"]: row["limit"] for row in component(app, "sweep")["rows"]}
    assert {name: wish.sparsity for name, wish in now.plan.layers.items()} == limits
    assert all(wish.sparsity > 0 for wish in now.plan.layers.values())
    assert "All limits at once give" in words_of(app)


def test_the_limit_of_a_pattern_is_a_share_that_the_pattern_has() -> None:
    resources.reference(LENET, "mnist")
    job = work.start_sweep(LENET, "mnist", Request(granularity="n_m", settings={"n": 1, "m": 4}, samples=64))
    assert job._future is not None
    job._future.result(60)
    app = sensitivity(link_to(LENET, "mnist"))
    labels = app.selectbox(key="sweep_g").options
    app.selectbox(key="sweep_g").set_value(labels.index("1:4")).run()
    assert not app.exception
    for row in component(app, "sweep")["rows"]:
        assert row["limit"] in (0.0, 0.75), "a pattern has no shares in between"


def test_a_metric_changes_the_unit_of_the_cells() -> None:
    app = sensitivity(STATES["lenet, dense"])
    app.number_input(key="sweep_n").set_value(64).run()
    app.button(key="start_sweep").click().run()
    app = swept(app)
    app.selectbox(key="sweep_m").set_value("kl").run()
    assert not app.exception
    data = component(app, "sweep")
    assert data["metric"]["unit"] == "nats"
    assert all(cell["value"] >= 0 for row in data["rows"] for cell in row["cells"])


def test_an_exact_sweep_of_activations_is_another_sweep() -> None:
    app = sensitivity(STATES["lenet, dense"])
    app.segmented_control(key="sweep_e").set_value("Exact").run()
    app.radio(key="sweep_t").set_value("activations").run()
    app.number_input(key="sweep_n").set_value(64).run()
    app.button(key="start_sweep").click().run()
    app = swept(app)
    assert not app.exception
    request = state_of(app).view["sweep"]
    assert (request.exact, request.target) == (True, "activations")
    assert [row["name"] for row in component(app, "sweep")["rows"] if row["cells"][0]["value"] is not None] == [
        "fc1", "fc2"
    ]  # fmt: skip


def found(app: AppTest, button: str) -> AppTest:
    """Press a button of a finding and wait for its job."""
    app.button(key=button).click().run()
    for job in list(jobs._jobs.values()):
        job._future.result(60)
    return app.run()


def test_what_layers_lose_together_stands_beside_the_sum() -> None:
    fields = {"sparsity": 0.9, "granularity": "fine_grained"}
    app = sensitivity(link_to(LENET, "mnist", {"fc1": fields, "fc2": fields}))
    app.number_input(key="sweep_n").set_value(64).run()
    app.button(key="start_sweep").click().run()
    app = found(swept(app), "start_together")
    assert not app.exception
    assert "points of accuracy together" in words_of(app)
    app = found(app, "start_pairs")
    assert "in points, n 512" in words_of(app)
    app = found(app, "start_guesses")
    assert "Spearman's rank correlation" in words_of(app)


def test_a_guess_orders_the_layers_before_anything_is_measured() -> None:
    app = found(sensitivity(STATES["lenet, dense"]), "start_ranks")
    assert not app.exception
    (table,) = app.table
    assert sorted(table.value["Layer"]) == ["fc1", "fc2", "fc3"]
    energy = [float(text) for text in table.value["Removed weight energy"]]
    assert energy == sorted(energy, reverse=True)
    assert "Sparsity alone" not in table.value  # it tells no layers apart


def test_norms_that_disagree_are_said_and_mended_by_one_button(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "norms", lambda task, subject: "The batch-norm statistics disagree with the data.")
    app = sensitivity(link_to("resnet_fashion", "fashion_mnist"))
    for job in list(jobs._jobs.values()):
        job._future.result(60)
    app.run()
    assert "disagree with the data" in " ".join(warning.value for warning in app.warning)
    app.button(key="re_estimate").click().run()
    assert not app.exception
    assert state_of(app).model == "resnet_fashion+norms@fashion_mnist"


def test_settings_of_the_sweep_are_drawn_from_what_a_granularity_declares() -> None:
    app = sensitivity(STATES["lenet, dense"])
    labels = app.selectbox(key="sweep_g").options
    app.selectbox(key="sweep_g").set_value(labels.index("2:4")).run()
    assert not app.exception
    names = [each.key.rsplit(":", 1)[1] for each in app.number_input if each.key.startswith("sweep:")]
    assert names[:2] == ["n", "m"]
