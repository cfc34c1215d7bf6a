"""The session's state: its link, its history, and what a refusal leaves alone."""

import base64
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from explorer import resources, state, visitors
from explorer.settings import SETTINGS
from explorer.state import ExplorerState
from pruning_core.plan import LayerPlan, ModelId, Plan

LENET = "lenet_300_100"
FRESH = "The link could not be read, so this is a fresh start."
GOOD = {"v": 1, "model": LENET, "data": "mnist", "plan": {}, "layer": "fc2", "tolerance": 1.0}
names = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
wishes = some.builds(
    LayerPlan,
    sparsity=some.floats(0, 1),
    granularity=some.sampled_from(["fine_grained", "n_m", "row"]),
    criterion=some.sampled_from(["l1", "random"]),
    locked=some.booleans(),
    settings=some.dictionaries(names, some.integers(-9, 9) | some.floats(-2, 2) | names, max_size=2),
)
plans = some.builds(
    Plan,
    model=some.builds(ModelId, name=names, sha256=names),
    layers=some.dictionaries(names, wishes, max_size=4),
    scope=some.sampled_from(["layer", "model"]),
    seed=some.integers(0, 99),
)


@contextmanager
def session(link: str | None = None, cookie: str = "") -> Iterator[SimpleNamespace]:
    """A new session that was opened with this link, by the visitor with this cookie."""
    context = SimpleNamespace(cookies={visitors.COOKIE: cookie} if cookie else {})
    page = SimpleNamespace(session_state={}, query_params={} if link is None else {"s": link}, context=context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "st", page)
        yield page


def packed(document: Any) -> str:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(zlib.compress(content)).decode().rstrip("=")


def opened(link: str) -> ExplorerState:
    """The state that a session starts in, once its workbench was there."""
    with session(link):
        state.workbench()
        return state.current()


# ---- link


@given(
    plans,
    some.none() | names.filter(bool),
    some.none() | names.filter(bool),
    some.none() | names.filter(bool),
    some.floats(0.01, 100),
)
def test_a_link_brings_back_what_it_was_made_of(
    plan: Plan, model: str | None, data: str | None, layer: str | None, tolerance: float
) -> None:
    before = ExplorerState(model=model, data=data, plan=plan, layer=layer, tolerance=tolerance)
    assert state.from_link(state.to_link(before)) == before


def test_a_link_is_fit_for_an_address() -> None:
    layers = {f"encoder.layers.{k}.mlp": LayerPlan(sparsity=k / 100) for k in range(100)}
    link = state.to_link(ExplorerState(model=LENET, plan=Plan(layers=layers)))
    assert link == "".join(c for c in link if c.isalnum() or c in "-_")
    assert len(link) < 2000


def test_a_reload_opens_model_data_plan_layer_and_tolerance() -> None:
    with session() as page:
        state.open_model(LENET, "mnist")
        state.commit({"fc2": {"sparsity": 0.4}})
        state.change(layer="fc3", tolerance=2.5)
        state.write_link()
        before = state.current()
    after = opened(page.query_params["s"])
    for field in ("model", "data", "plan", "layer", "tolerance"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.notice == ""


def test_a_reload_keeps_that_there_is_no_data() -> None:
    with session() as page:
        state.open_model(LENET, None)
    assert opened(page.query_params["s"]).data is None


def test_the_model_of_the_command_line_comes_with_its_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "model", LENET)
    with session():
        assert (state.current().model, state.current().data, state.current().layer) == (LENET, "mnist", "fc1")


UNREADABLE = {
    "no text at all": "",
    "not base64": "ä!?",
    "not compressed": base64.urlsafe_b64encode(b"hello").decode(),
    "cut short": packed(GOOD)[:40],
    "a bomb of spaces": packed(b" " * (50 << 20) + json.dumps(GOOD).encode()),
    "a deep nest": packed(b"[" * 500_000),
    "a number": packed(3),
    "another version": packed(GOOD | {"v": 2}),
    "no plan": packed(GOOD | {"plan": None}),
    "a plan of another version": packed(GOOD | {"plan": {"version": 9}}),
    "a sparsity of two": packed(GOOD | {"plan": {"layers": {"fc1": {"sparsity": 2}}}}),
    "a number for a model": packed(GOOD | {"model": 5}),
    "a list for data": packed(GOOD | {"data": ["mnist"]}),
    "a list for a layer": packed(GOOD | {"layer": ["fc1"]}),
    "half a character": packed(GOOD | {"model": "\ud800"}),
    "a tolerance that is no number": packed(GOOD | {"tolerance": "nan"}),
    "a tolerance below zero": packed(GOOD | {"tolerance": -1}),
    "an endless tolerance": packed(GOOD | {"tolerance": "1e999"}),
}


@pytest.mark.parametrize("link", UNREADABLE.values(), ids=UNREADABLE)
def test_a_link_that_cannot_be_read_is_a_fresh_start(link: str) -> None:
    assert opened(link) == ExplorerState(notice=FRESH)


@given(
    some.binary(max_size=60).map(lambda content: base64.urlsafe_b64encode(content).decode()) | some.text(max_size=60)
)
def test_any_text_ends_in_a_start_state(link: str) -> None:
    assert opened(link) == ExplorerState(notice=FRESH)


keys = some.sampled_from(["layers", "model", "fc1"])
documents = some.recursive(
    some.none() | some.booleans() | some.floats(allow_nan=False) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(keys, inner),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(some.sampled_from(sorted(GOOD)), documents)
def test_any_value_in_any_field_ends_in_a_state(field: str, value: Any) -> None:
    found = opened(packed(GOOD | {field: value}))
    assert found.notice or found.model in (None, LENET)
    assert found.model is None or found.plan.model.sha256


PARTLY = {
    "unknown model": ({"model": "lenet_300_10"}, None, "did you mean 'lenet_300_100'"),
    "unknown data": ({"data": "nope"}, None, "unknown data 'nope'"),
    "a layer that is not there": ({"plan": {"layers": {"gone": {"sparsity": 0.5}}}}, LENET, "no prunable layer 'gone'"),
    "a granularity that is not there": ({"plan": {"layers": {"fc1": {"granularity": "x"}}}}, LENET, "'x'"),
    "a granularity that does not fit": (
        {"plan": {"layers": {"fc1": {"sparsity": 0.5, "granularity": "kernel"}}}},
        LENET,
        "no kernels to remove",
    ),
    "a sparsity that the pattern does not have": (
        {"plan": {"layers": {"fc1": {"sparsity": 0.9, "granularity": "n_m"}}}},
        LENET,
        "2:4 removes 0 or 0.5",
    ),
    "a plan of other weights": ({"plan": {"model": {"name": "x", "sha256": "abc"}}}, LENET, "was made for 'x'"),
}


@pytest.mark.parametrize(("fields", "model", "notice"), PARTLY.values(), ids=PARTLY)
def test_what_a_link_names_but_is_not_to_be_had_becomes_a_notice(
    fields: dict[str, Any], model: str | None, notice: str
) -> None:
    found = opened(packed(GOOD | fields))
    assert notice in found.notice
    assert found.model == model
    assert found.plan.layers == {}


def test_a_selected_layer_that_is_not_there_is_the_first_one() -> None:
    assert opened(packed(GOOD | {"layer": "gone"})).layer == "fc1"


# ---- history

UNDO, REDO = ("undo", "", 0.0), ("redo", "", 0.0)
STEPS = [("commit", "fc1", 0.3), ("commit", "fc2", 0.6), ("refused", "", 0.0), ("commit", "fc1", 0.0)]
moves = some.lists(
    some.tuples(some.just("commit"), some.sampled_from(["fc1", "fc2"]), some.sampled_from([0.0, 0.3, 0.6]))
    | some.tuples(some.sampled_from(["undo", "redo", "refused"]), some.just(""), some.just(0.0)),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(moves)
@example([*STEPS, *2 * [UNDO], *2 * [REDO], UNDO, ("commit", "fc1", 0.6), REDO, UNDO])
def test_undo_and_redo_walk_a_list_of_plans(sequence: list[tuple[str, str, float]]) -> None:
    with session():
        state.open_model(LENET, None)
        plans, here = [state.current().plan], 0
        for kind, layer, sparsity in sequence:
            if kind == "commit":
                wanted = plans[here].with_layer(layer, sparsity=sparsity)
                state.commit({layer: {"sparsity": sparsity}})
                if wanted != plans[here]:
                    plans, here = [*plans[: here + 1], wanted], here + 1
            elif kind == "refused":
                state.commit({"fc1": {"granularity": "kernel", "sparsity": 0.5}})
            elif kind == "undo":
                state.undo()
                here = max(0, here - 1)
            else:
                state.redo()
                here = min(len(plans) - 1, here + 1)
            now = state.current()
            assert [*now.past, now.plan, *now.future] == plans
            assert len(now.past) == here
            bench = state.workbench()
            assert bench is not None
            assert bench.plan == now.plan


def test_undo_selects_the_row_that_changed() -> None:
    with session():
        state.open_model(LENET, None)
        state.commit({"fc3": {"sparsity": 0.5}})
        state.undo()
        assert state.current().layer == "fc3"


def test_history_keeps_the_newest_steps() -> None:
    with session():
        state.open_model(LENET, None)
        for k in range(state.HISTORY + 5):
            state.commit({"fc3": {"sparsity": k / 1000 + 0.1}})
        assert len(state.current().past) == state.HISTORY
        assert state.current().past[-1].layer("fc3").sparsity == pytest.approx((state.HISTORY + 3) / 1000 + 0.1)


def test_every_step_pushes_new_values_to_the_components_and_the_link() -> None:
    with session() as page:
        state.open_model(LENET, None)
        seen = []
        for step in (lambda: state.commit({"fc1": {"sparsity": 0.5}}), state.undo, state.redo):
            step()
            seen.append((state.current().push, page.query_params["s"]))
        assert [push - seen[0][0] for push, _ in seen] == [0, 1, 2]
        assert state.from_link(seen[1][1]).plan.layer("fc1").sparsity == 0
        assert state.from_link(seen[2][1]).plan.layer("fc1").sparsity == 0.5


# ---- refusals


def kept(found: ExplorerState) -> tuple[Any, ...]:
    return (found.model, found.data, found.plan, found.past, found.future, found.layer, found.tolerance)


@pytest.mark.parametrize(
    "fields",
    [
        {"granularity": "kernel", "sparsity": 0.5},
        {"granularity": "nope"},
        {"criterion": "nope"},
        {"sparsity": 1.5},
        {"granularity": "n_m", "sparsity": 0.3},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_refused_commit_keeps_everything_and_says_why(fields: dict[str, Any]) -> None:
    with session() as page:
        state.open_model(LENET, "mnist")
        state.commit({"fc1": {"sparsity": 0.5}})
        state.commit({"fc2": {"sparsity": 0.5}})
        state.undo()
        before, link = state.current(), page.query_params["s"]
        state.commit({"fc1": fields})
        after = state.current()
        assert kept(after) == kept(before)
        assert after.notice
        assert after.push == before.push + 1, "components must show the old values again"
        assert page.query_params["s"] == link
        state.commit({"fc1": {"sparsity": 0.2}})
        assert state.current().notice == "", "a change that fits takes the notice away"


def test_a_model_that_cannot_be_opened_keeps_everything() -> None:
    with session():
        state.open_model(LENET, "mnist")
        state.commit({"fc1": {"sparsity": 0.5}})
        before = state.current()
        state.open_model("lenet_300_10", "mnist")
        assert kept(state.current()) == kept(before)
        assert "did you mean" in state.current().notice


def test_another_model_begins_with_a_dense_plan_and_no_history() -> None:
    with session():
        state.open_model(LENET, "mnist")
        state.commit({"fc1": {"sparsity": 0.5}})
        state.open_model("guide_cnn", "mnist")
        now = state.current()
        assert (now.past, now.future, now.plan.layers) == ((), (), {})
        assert now.layer == resources.model("guide_cnn").graph.layers[0].name
        assert now.plan.model.sha256 == resources.model("guide_cnn").sha256


def test_a_workbench_is_kept_until_model_or_data_change() -> None:
    with session():
        assert state.workbench() is None
        state.open_model(LENET, "mnist")
        first = state.workbench()
        state.commit({"fc1": {"sparsity": 0.5}})
        assert state.workbench() is first
        state.open_model(LENET, None)
        assert state.workbench() is not first


def test_a_program_that_ends_while_weights_are_ranked_ends_well() -> None:
    code = f"from explorer import resources; resources.reference({LENET!r}, None)"
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, timeout=120).returncode == 0


@pytest.mark.parametrize(("local", "word"), [(True, "cannot read"), (False, "does not offer")])
@pytest.mark.parametrize(("model", "data"), [(LENET, "not_there.npz"), ("resnet_fashion+norms@not_there.npz", None)])
def test_a_link_names_no_file_of_a_server_that_others_reach(
    monkeypatch: pytest.MonkeyPatch, local: bool, word: str, model: str, data: str | None
) -> None:
    monkeypatch.setattr(SETTINGS, "local", local)
    link = state.to_link(ExplorerState(model=model, data=data))
    with session(link):
        assert word in state.current().notice
