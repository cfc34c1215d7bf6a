"""What pages say when there is nothing to show yet."""

import streamlit as st

from explorer import actions, state
from explorer.context import sample_names


def no_model() -> None:
    """Offer the samples."""
    with st.container(key="empty"):
        if state.current().notice:
            st.warning(state.current().notice)
        st.markdown("#### Choose a sample or open a model to begin.")
        for name, title in sample_names():
            st.button(title, key=f"open_{name}", on_click=actions.open_sample, args=(name,))
        st.caption("The samples are trained and come with their data. Nothing leaves this machine.")


def no_data() -> None:
    """Say what needs data."""
    with st.container(key="empty"):
        st.markdown("Without data there is sparsity, size and FLOPs, but no accuracy. Add data.")
