"""The dialog "Fit to budget": a limit, a budget for all allocations, or a threshold, and the plan that it gives."""

import streamlit as st

import pruning_core as pc
from explorer import fit_actions, fit_limit, fit_sparsity, fit_threshold, state
from explorer.present import fit as present

TABS = {
    "Limit": ("The best plan under one limit, chosen on the curves of the layers, then measured.", fit_limit.tab),
    "Sparsity": ("One budget, split over the layers in every way there is; each plan is measured.", fit_sparsity.tab),
    "Threshold": ("One number says which weights go, the weakest first.", fit_threshold.tab),
}


def dialog() -> None:
    """Draw the dialog while it is open."""
    bench = state.workbench()
    if bench is not None and state.current().view.get("fit"):
        _dialog(bench)


@st.dialog("Fit to budget", width="large", on_dismiss=fit_actions.close)
def _dialog(bench: pc.Workbench) -> None:
    app = state.current()
    with st.container(key="fit", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            chosen = st.segmented_control(
                "How", list(TABS), default="Limit", required=True, key="fit_tab", label_visibility="collapsed",
                persist_state="session",
            )  # fmt: skip
            words, draw = TABS[chosen or "Limit"]
            st.caption(f"{words} {present.ways(bench, app.plan)}")
        draw(bench, app)
