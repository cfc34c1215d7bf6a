"""Source for models whose own is not known: their graph of operators, written out."""

from dataclasses import replace

from pruning_core.errors import ExportError
from pruning_core.model import Model
from pruning_core.onnx_import.source import architecture_of


def with_source(model: Model) -> Model:
    """Return the model with its traced graph as the source that builds it again; without, where that cannot be said."""
    graph = model.graph
    try:
        found = replace(model, architecture=architecture_of(model.module, graph))
    except ExportError:  # an operator that is not of torch
        found = model
    vars(found)["graph"] = graph  # traced already
    return found
