"""What happens when the panel of the selected layer sends something."""

from explorer import state
from explorer.actions import commit, select


def panel_step() -> None:
    """Go to the layer above or below."""
    sent, app, bench = state.sent("panel_head", "step"), state.current(), state.workbench()
    if not sent or bench is None:
        return
    names = [layer.name for layer in bench.model.graph.layers]
    here = names.index(app.layer) if app.layer in names else 0
    select(names[min(len(names) - 1, max(0, here + sent["by"]))])


def panel_tab() -> None:
    """Another tab is chosen."""
    sent = state.sent("panel_head", "tab")
    if sent:
        state.change(tab=sent["tab"])
        state.refresh("panel")


def weights_options() -> None:
    """View, order or mask of the heatmap."""
    sent = state.sent("weights", "options")
    if sent:
        state.view(weights=dict(sent))
        state.refresh("panel")


def weights_cell() -> None:
    """A cell of the heatmap is chosen."""
    sent = state.sent("weights", "cell")
    if sent:
        state.view(cell=dict(sent) | {"layer": state.current().layer})
        state.refresh("panel")


def weights_drag() -> None:
    """The threshold moves."""
    sent, layer = state.sent("weights", "drag"), state.current().layer
    if sent and layer:
        state.view(drag={layer: {"sparsity": sent["sparsity"]}})
        state.refresh("headline")


def weights_commit() -> None:
    """The threshold is let go."""
    sent, layer = state.sent("weights", "commit"), state.current().layer
    if sent and layer:
        commit({layer: {"sparsity": sent["sparsity"]}})


def activations_select() -> None:
    """A row of the activation heatmap is chosen."""
    sent = state.sent("activations", "select")
    if sent:
        select(sent["layer"])


def graph_node() -> None:
    """A node of the graph is chosen: its layer is selected."""
    sent = state.sent("graph", "node")
    layer = state.current().view.get("graph_layers", {}).get((sent or {}).get("name"))
    if layer:
        select(layer)
