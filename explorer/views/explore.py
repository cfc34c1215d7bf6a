"""Explore: the headline, the mixer, and the selected layer."""

import streamlit as st

from explorer import actions, empty, fit, near_chance, plan_options, state
from explorer.components import declare
from explorer.panel import panel
from explorer.present.headline import headline as headline_data
from explorer.present.mixer import mixer as mixer_data


@st.fragment(key="headline")
def headline() -> None:
    """Draw the four figures."""
    bench = state.workbench()
    if bench:
        data = headline_data(bench, state.current())
        declare("headline")(
            key="headline",
            data=data,
            on_command_change=actions.headline_command,
            on_tick_change=actions.headline_tick,
        )
        actions.follow_up()
        near_chance.notice(bench.reference.dense_so_far, (bench.model.graph.output_shape or (1,))[-1])


@st.fragment(key="mixer")
def mixer() -> None:
    """Draw the table of layers."""
    bench = state.workbench()
    if bench:
        declare("mixer")(
            key="mixer",
            data=mixer_data(bench, state.current()),
            on_drag_change=actions.mixer_drag,
            on_commit_change=actions.mixer_commit,
            on_select_change=actions.mixer_select,
            on_command_change=actions.mixer_command,
        )


state.view(drag=None)  # a page that is drawn anew has no slider in hand
if state.workbench() is None:
    empty.no_model()
else:
    with st.container(key="headline_place", gap=None):
        headline()
    left, right = st.columns([1020, 420], gap=None)
    with left, st.container(key="mix", gap=None):
        mixer()
    with right, st.container(key="side", gap=None):
        panel()
    fit.dialog()
    plan_options.dialog()
