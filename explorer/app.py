"""The entry script: page settings, navigation, model and data. Run by `explorer.server`."""

import streamlit as st

from explorer import arrival_bar, empty, jobs, near_chance, preparing, state, theme
from explorer.context import pickers

st.set_page_config(page_title="Pruning Explorer", page_icon=theme.ICON, layout="wide")
st.html(theme.PAGE_CSS)
if not state.admitted():
    empty.full()
    st.stop()
page = st.navigation(
    [
        st.Page("views/explore.py", title="Explore", default=True),
        st.Page("views/sensitivity.py", title="Sensitivity"),
        st.Page("views/export.py", title="Export"),
    ],
    position="top",
)
state.write_link()  # a change of pages empties the address
pickers()
arrival_bar.bar()
near_chance.bar()
page.run()
preparing.dialog()
jobs.warm()
