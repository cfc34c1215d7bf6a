"""The graph of the model for Netron: an ONNX file without weights of its own, coloured by the plan's sparsity."""

import tempfile
from pathlib import Path
from typing import Any

import onnx
import streamlit as st

import pruning_core as pc
from explorer import netron, resources, state
from explorer.figures import words
from explorer.state import ExplorerState
from pruning_core.onnx_export import onnx_layer_nodes, to_onnx

STEPS = (0.0, 0.25, 0.5, 0.75, 0.9)


def _withdraw(published: tuple[str, dict[str, str]]) -> None:
    """Take the graph of a forgotten model from the server."""
    netron.revoke(published[0].split("/")[2])


@st.cache_resource(max_entries=8, show_spinner="Drawing the graph", on_release=_withdraw)
def published(model: str) -> tuple[str, dict[str, str]]:
    """Return the address of the model's graph and which layer each node belongs to."""
    loaded = resources.model(model)
    content = to_onnx(loaded.module, loaded.example_inputs)
    nodes = onnx_layer_nodes(onnx.load_from_string(content), loaded.graph)
    folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-"))
    path = folder / "model.onnx"
    path.write_bytes(content)
    return netron.address(netron.publish(path)), nodes


def data(bench: pc.Workbench, app: ExplorerState) -> dict[str, Any]:
    """Return what the graph component draws."""
    address, nodes = published(app.model or "")
    if app.view.get("graph_layers") != nodes:
        state.view(graph_layers=nodes)
    colors = {node: app.plan.layer(layer).sparsity for node, layer in nodes.items()}
    selected = next((node for node, layer in nodes.items() if layer == app.layer), None)
    captions = [{"color": step, "text": words.percent(step, 0)} for step in STEPS]
    return {"src": address, "height": 620, "colors": colors, "captions": captions, "selected_node": selected}
