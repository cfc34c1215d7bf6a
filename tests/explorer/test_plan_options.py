"""The options of a plan: what the dialog sets, what a refusal leaves alone, and what follows from them."""

from typing import Any

from streamlit.testing.v1 import AppTest

import pruning_core as pc
from explorer import resources, work
from explorer.present import mixer, options
from explorer.present.groups import groups
from explorer.state import ExplorerState
from pruning_core.plan import LayerPlan, Plan

VIT = "vit_fashion"
CHANNELS = LayerPlan(granularity="output_channel")


def opened(**layers: Any) -> AppTest:
    """The dialog on a plan for the vision transformer, without data."""

    def page(model: str, layers: dict) -> None:  # type: ignore[type-arg]
        import streamlit as st

        from explorer import plan_options, state

        if "opened" not in st.session_state:
            st.session_state["opened"] = True
            state.open_model(model, None)
            state.commit(layers)
            state.view(plan_options=True)
        plan_options.dialog()

    return AppTest.from_function(page, kwargs={"model": VIT, "layers": layers}, default_timeout=120).run()


def plan_of(app: AppTest) -> Plan:
    state: ExplorerState = app.session_state["explorer_state"]
    return state.plan


def test_each_option_is_one_step_of_undo() -> None:
    app = opened()
    app.toggle[0].set_value(True).run()
    app.selectbox[0].set_value(8).run()
    app.radio[0].set_value("dimension").run()
    plan = plan_of(app)
    assert (plan.through_norms, plan.channel_multiple, plan.heads) == (True, 8, "dimension")
    past = app.session_state["explorer_state"].past
    assert [each.channel_multiple for each in past] == [1, 1, 8]
    assert not app.exception


def test_an_option_that_a_wish_forbids_is_refused_in_a_sentence_and_nothing_changes() -> None:
    app = opened(**{"layers.0.attention.qkv": {"granularity": "head", "sparsity": 0.5}})
    app.radio[0].set_value("dimension").run()
    assert plan_of(app).heads == "head"
    assert plan_of(app).layer("layers.0.attention.qkv").sparsity == 0.5
    assert "layers.0.attention.qkv" in app.warning[0].value
    assert app.radio[0].value == "head"


def test_norms_that_may_lose_channels_join_the_whole_width() -> None:
    bench = pc.Workbench(resources.model(VIT))
    assert groups(bench, bench.plan) == {}
    bench.set_plan(bench.plan.model_copy(update={"through_norms": True}))
    assert set(groups(bench, bench.plan)) >= {"patches", "layers.0.attention.proj", "layers.3.fc2"}
    footer = mixer.mixer(bench, ExplorerState(model=VIT, plan=bench.plan))["footer"]
    assert footer.endswith("Norms may lose channels.")


def test_curves_of_channels_depend_on_the_options_and_those_of_single_weights_do_not() -> None:
    plain, rounded = Plan(), Plan(channel_multiple=8)
    for wish, is_same in ((CHANNELS, False), (LayerPlan(), True)):
        keys = [work.curve_key(VIT, None, options.request_for(wish, plan)) for plan in (plain, rounded)]
        assert (keys[0] == keys[1]) is is_same
