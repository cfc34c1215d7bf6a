"""The graph of the model for Netron: an ONNX file without weights of its own, coloured by the plan's sparsity."""

import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

import onnx
import streamlit as st

import pruning_core as pc
from explorer import netron, resources, state
from explorer.figures import words
from explorer.state import ExplorerState
from pruning_core.onnx_export import onnx_layer_nodes, to_onnx

STEPS = (0.0, 0.25, 0.5, 0.75, 0.9)


Drawn = tuple[Path, dict[str, str]]


def _delete(drawn: Drawn) -> None:
    rmtree(drawn[0].parent, ignore_errors=True)


@st.cache_resource(max_entries=8, show_spinner="Drawing the graph", on_release=_delete)
def drawn(model: str) -> Drawn:
    """Return the file of the model's graph and which layer each node belongs to."""
    loaded = resources.model(model)
    content = to_onnx(loaded.module, loaded.example_inputs)
    nodes = onnx_layer_nodes(onnx.load_from_string(content), loaded.graph)
    folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-"))
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path, nodes


def _withdraw(address: str) -> None:
    netron.revoke(address.split("/")[2])


@st.cache_resource(max_entries=4, show_spinner=False, scope="session", on_release=_withdraw)
def published(path: str, owner: str) -> str:
    """Return the address of a graph for this session alone: it ends with it, and needs the visitor's cookie."""
    return netron.address(netron.publish(Path(path), owner))


def data(bench: pc.Workbench, app: ExplorerState) -> dict[str, Any]:
    """Return what the graph component draws."""
    path, nodes = drawn(app.model or "")
    address = published(str(path), state.visitor())
    if app.view.get("graph_layers") != nodes:
        state.view(graph_layers=nodes)
    colors = {node: app.plan.layer(layer).sparsity for node, layer in nodes.items()}
    selected = next((node for node, layer in nodes.items() if layer == app.layer), None)
    captions = [{"color": step, "text": words.percent(step, 0)} for step in STEPS]
    return {"src": address, "height": 620, "colors": colors, "captions": captions, "selected_node": selected}
