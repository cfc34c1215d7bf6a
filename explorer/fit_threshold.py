"""Tab "Threshold" of the dialog: a selection and its number, what it would remove, and its use."""

import streamlit as st

import pruning_core as pc
from explorer import fit_actions
from explorer.controls import setting
from explorer.figures import escaping, words
from explorer.fit_shared import layer_table
from explorer.present import thresholds as present
from explorer.present.fit_found import overall
from explorer.state import ExplorerState
from pruning_core.selection import SELECTIONS


def tab(bench: pc.Workbench, app: ExplorerState) -> None:
    """Draw the tab."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox(
            "Selection", list(SELECTIONS), format_func=lambda name: SELECTIONS[name].label, key="fit_selection",
            width=220, persist_state="session",
        )  # fmt: skip
        member = SELECTIONS[name]
        value = setting(
            member.value, member.value.default, f"fit_number_{name}", width=160, persist_state="session",
            help=f"In {member.unit}.",
        )  # fmt: skip
    st.caption(member.doc)
    if name == "threshold" and (scores := present.score_range(bench, app.plan)):
        least, middle, most = (f"{score:.3g}" for score in scores)
        st.caption(f"Scores per weight lie from {least} to {most}; half of them are below {middle}.")
    try:
        plan = present.selected(bench, app.plan, name, value)
        share = overall(bench, plan)
    except pc.PruningError as error:
        st.warning(escaping.markdown(str(error)))
        return
    st.markdown(
        f"**{words.percent(share)}** of all prunable weights would go, now {words.percent(overall(bench, app.plan))}."
    )
    layer_table(bench, app.plan, plan, None, "fit_threshold_layers")
    st.button("Use this plan", type="primary", key="fit_use_threshold", on_click=fit_actions.use, args=(plan,))
