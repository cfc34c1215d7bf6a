"""Export: the files of the chosen configuration, each checked, and the snippet that repeats it."""

import streamlit as st

from explorer import empty, state
from explorer.exports import files, plan_table, python
from explorer.present.headline import removes_something
from explorer.slim import headline

bench = state.workbench()
if bench is None:
    empty.no_model()
else:
    with st.container(key="headline_place", gap=None):
        headline()
    with st.container(key="page", gap="small"):
        st.subheader("Take it with you")
        if removes_something(state.current().plan):
            left, right = st.columns([1, 1], gap="large")
            with left:
                files()
            with right:
                python(bench)
            plan_table(bench)
        else:
            st.caption(
                "The plan removes nothing yet. Move a slider in Explore, or use a sweep's limits, then come back."
            )
