"""The dialog "Options of the plan": which channels may go together, and how many of them stay."""

from typing import Any

import streamlit as st

from explorer import state
from explorer.figures import escaping
from explorer.present.options import HEADS, MULTIPLES
from pruning_core import PruningError


def dialog() -> None:
    """Draw the dialog while it is open."""
    if state.current().view.get("plan_options"):
        _dialog()


def _close() -> None:
    state.view(plan_options=False)


@st.dialog("Options of the plan", on_dismiss=_close)
def _dialog() -> None:
    app = state.current()
    plan, push = app.plan, app.push  # a refused choice goes back to what the plan says
    if app.notice:
        st.warning(escaping.markdown(app.notice))
    multiple = f"plan_multiple:{push}"
    st.selectbox(
        "Widths in multiples of",
        sorted({*MULTIPLES, plan.channel_multiple}),
        index=sorted({*MULTIPLES, plan.channel_multiple}).index(plan.channel_multiple),
        key=multiple,
        on_change=_take,
        args=("channel_multiple", multiple),
    )
    st.caption("A row keeps so many channels: processors take 4, 8 or 16 at a time and run a width between no faster.")
    norms = f"plan_norms:{push}"
    st.toggle(
        "Norms may lose channels", value=plan.through_norms, key=norms, on_change=_take, args=("through_norms", norms)
    )
    st.caption(
        "Layer, group and RMS norms compute one value over their channels. What stays is then normed by itself: this "
        "frees the whole width of a transformer, and changes what the norm computes."
    )
    heads = f"plan_heads:{push}"
    st.radio(
        "Attention loses",
        list(HEADS),
        format_func=HEADS.__getitem__,
        index=list(HEADS).index(plan.heads),
        key=heads,
        horizontal=True,
        on_change=_take,
        args=("heads", heads),
    )
    st.caption("Dimensions keep every head and make all of them narrower; the granularity Channel then removes them.")


def _take(field: str, key: str) -> None:
    value: Any = state.widget(key)
    try:
        state.adopt(state.current().plan.model_copy(update={field: value}))
    except PruningError as error:
        state.change(notice=str(error), push=state.current().push + 1)
    state.refresh()
