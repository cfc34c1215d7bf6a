"""Sensitivity: what each layer can lose, swept in the background."""

import streamlit as st

from explorer import empty, state
from explorer.findings import norms_notice
from explorer.slim import headline
from explorer.sweep_tools import job_bar, toolbar
from explorer.sweeps import results

bench = state.workbench()
if bench is None:
    empty.no_model()
elif bench.dataset is None:
    headline()
    empty.no_data()
else:
    with st.container(key="headline_place", gap=None):
        headline()
    job_bar()
    with st.container(key="page", gap="small"):
        norms_notice(bench)
        toolbar()
        results()
