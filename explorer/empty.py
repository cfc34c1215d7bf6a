"""What pages say when there is nothing to show yet."""

import streamlit as st

from explorer import actions, arrival_bar, arrivals, own_files, state
from explorer.context import sample_names
from explorer.figures import escaping
from explorer.settings import SETTINGS
from pruning_core.refusals import refused


def no_model() -> None:
    """Offer the samples, and a place to drop a file on."""
    with st.container(key="empty"):
        if state.current().notice:
            st.warning(escaping.markdown(state.current().notice))
        st.markdown("#### Choose a sample or open a model to begin.")
        with st.container(horizontal=True, gap="small"):
            for name, title in sample_names():
                st.button(title, key=f"open_{name}", on_click=actions.open_sample, args=(name,))
        st.caption("The samples are trained and come with their data. Nothing leaves this machine.")
        with st.container(width=560):
            arrival_bar.uploader("upload_first", "model")
            own_files.own_files("model", "page")
        if not SETTINGS.local:
            st.caption("An upload is yours alone, is read in a process that can be killed, and is deleted after a day.")
    arrivals.warm()


def full() -> None:
    """Say that too many pages are open."""
    with st.container(key="empty"):
        refusal = refused("E624", f"{SETTINGS.limits.sessions} pages are open, as many as sessions allows")
        st.warning(f"{refusal.code}: {escaping.markdown(str(refusal))}.")


def no_data() -> None:
    """Say what needs data."""
    with st.container(key="empty"):
        st.markdown("Without data there is sparsity, size and FLOPs, but no accuracy. Add data.")
