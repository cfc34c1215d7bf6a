"""The slim headline of the pages beside Explore."""

import streamlit as st

from explorer import state, work
from explorer.actions import REFINE_SECONDS, follow_up
from explorer.components import declare
from explorer.present.headline import headline as headline_data


@st.fragment(key="headline")
def headline() -> None:
    """Draw the slim headline."""
    bench = state.workbench()
    if bench:
        data = headline_data(bench, state.current(), form="slim")
        declare("headline")(key="headline_slim", data=data, on_tick_change=_tick, on_command_change=_headline_command)
        follow_up()


def _tick() -> None:
    bench = state.workbench()
    measuring = bench and bench.dataset and not (bench.started and bench.estimate().done)
    if measuring and bench.refine(REFINE_SECONDS).done:
        state.view(measured=True)


def _headline_command() -> None:
    sent, app = state.sent("headline_slim", "command"), state.current()
    if sent and sent["kind"] == "latency":
        work.start_latency(app.model or "", app.data, app.plan)
    elif sent and sent["kind"] in ("undo", "redo"):
        (state.undo if sent["kind"] == "undo" else state.redo)()
        st.rerun()
