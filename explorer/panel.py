"""The selected layer: header, tabs, and the view of the chosen tab."""

from typing import Any

import streamlit as st

import pruning_core as pc
from explorer import graphs, layer_actions, state
from explorer.components import declare
from explorer.controls import layer_settings
from explorer.figures import escaping
from explorer.present import panel as present


@st.fragment(key="panel")
def panel() -> None:
    """Draw the panel of the selected layer."""
    bench, app = state.workbench(), state.current()
    if bench is None or app.layer is None:
        return
    declare("panel")(
        key="panel_head",
        data=present.panel(bench, app),
        on_step_change=layer_actions.panel_step,
        on_tab_change=layer_actions.panel_tab,
    )
    with st.container(key="pane", gap="small"):
        for sentence in present.stay(bench, app):
            st.caption(escaping.markdown(sentence))
        _TABS[app.tab](bench, app)


def _weights(bench: pc.Workbench, app: state.ExplorerState) -> None:
    declare("weights")(
        key="weights",
        data=present.weights(bench, app),
        on_cell_change=layer_actions.weights_cell,
        on_options_change=layer_actions.weights_options,
        on_drag_change=layer_actions.weights_drag,
        on_commit_change=layer_actions.weights_commit,
    )
    layer_settings(app)


def _activations(bench: pc.Workbench, app: state.ExplorerState) -> None:
    if bench.dataset is None:
        st.caption("Add data to see zeros per channel.")
        return
    declare("activations")(
        key="activations", data=present.activations(bench, app), on_select_change=layer_actions.activations_select
    )


def _graph(bench: pc.Workbench, app: state.ExplorerState) -> None:
    data: dict[str, Any] = graphs.data(bench, app)
    declare("graph")(key="graph", data=data, on_node_change=layer_actions.graph_node)


_TABS = {"Weights": _weights, "Activations": _activations, "Graph": _graph}
