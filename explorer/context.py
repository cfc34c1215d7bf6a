"""Model and data, right of the navigation: what is loaded, and what else there is."""

import streamlit as st

from explorer import actions, resources, state
from explorer.figures import words
from explorer.settings import SETTINGS
from pruning_core.loaders import DATA_LOADERS, MODEL_LOADERS


def pickers() -> None:
    """Draw the two menus."""
    app = state.current()
    with st.container(key="context", horizontal=True, gap="small"):
        with st.popover(f"Model **{_model_title(app.model)}**" if app.model else "Choose a model"):
            _models(app.model)
        if app.model:
            with st.popover(f"Data **{_data_title(app.data, app.model)}**" if app.data else "No data"):
                _data(app.model, app.data)


def sample_names() -> list[tuple[str, str]]:
    """Return (name, title) of the sample models."""
    return list(MODEL_LOADERS["sample"].names())


def _model_title(spec: str) -> str:
    return resources.model(spec).title or spec


def _data_title(spec: str, model: str) -> str:
    return resources.dataset(spec, model).title


def _models(chosen: str | None) -> None:
    names = dict(sample_names())
    if SETTINGS.model:
        names.setdefault(SETTINGS.model, SETTINGS.model)
    if chosen:
        names.setdefault(chosen, chosen)
    if chosen:
        state.show("pick_model", chosen)  # a refused choice goes back to what is loaded
    st.radio(
        "Model",
        list(names),
        index=0 if chosen else None,
        format_func=names.__getitem__,
        key="pick_model",
        on_change=actions.pick_model,
    )
    st.text_input(
        "torchvision model",
        placeholder="resnet18",
        key="pick_torchvision",
        on_change=actions.pick_torchvision,
        help="A name from torchvision.models; trained weights where they can be had.",
    )
    if chosen:
        model = resources.model(chosen)
        graph = model.graph
        shape = " × ".join(map(str, graph.input_shapes[0]))
        st.caption(
            f"{model.note}  \n{len(graph.layers)} prunable layers, {words.count(graph.params)} parameters, "
            f"{' '.join(words.operations(2 * graph.macs))} FLOPs. Input {shape}, {graph.output_shape[-1]} outputs."
        )


def _accuracy(model: str, data: str) -> str:
    """Say how good the dense model is on the examples measured so far."""
    dense = resources.reference(model, data).dense_so_far
    if not dense.labelled:
        return ""
    return f"  \nThe dense model is right on {words.percent(dense.correct / dense.n)}, n {words.count(dense.n)}."


def _data(model: str, chosen: str | None) -> None:
    names = dict(DATA_LOADERS["sample"].names())
    if SETTINGS.data:
        names.setdefault(SETTINGS.data, SETTINGS.data)
    if chosen:
        names.setdefault(chosen, chosen)
    state.show("pick_data", chosen or "")
    st.radio(
        "Data",
        [*names, ""],
        format_func=lambda name: names.get(name, "No data: sparsity, size and FLOPs only"),
        key="pick_data",
        on_change=actions.pick_data,
    )
    if chosen:
        data = resources.dataset(chosen, model)
        split = data.validation
        st.caption(
            f"{words.count(len(split))} {split.split} examples choose, "
            f"{words.count(len(data.test))} {data.test.split} examples judge. "
            f"Prepared as {split.preprocessing}.{_accuracy(model, chosen)}"
        )
