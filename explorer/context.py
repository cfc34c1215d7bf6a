"""Model and data, right of the navigation: what is loaded, and what else there is."""

import streamlit as st

from explorer import actions, arrival_bar, own_files, preparing, resources, state
from explorer.figures import escaping, words
from explorer.settings import SETTINGS
from pruning_core.loaders import DATA_LOADERS, MODEL_LOADERS

NO_MODEL = "Choose a model"
NO_DATA = "No data: sparsity, size and FLOPs only"
SHOWN = 32  # characters of a name beside the navigation


def pickers() -> None:
    """Draw the two menus."""
    app = state.current()
    with st.container(key="context", horizontal=True, gap="small"):
        with st.popover(f"Model **{escaping.markdown(_model_title(app.model), SHOWN)}**" if app.model else NO_MODEL):
            _models(app.model)
        if app.model:
            title = escaping.markdown(_data_title(app.data, app.model), SHOWN) if app.data else ""
            with st.popover(f"Data **{title}**" if title else "No data", key=preparing.menu_key()):
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
        names.setdefault(chosen, _model_title(chosen))
        state.show(actions.menu_key("model"), chosen)  # a refused choice goes back to what is loaded
    st.radio(
        "Model",
        list(names),
        index=0 if chosen else None,
        format_func=lambda name: escaping.markdown(names[name], 60),
        key=actions.menu_key("model"),
        on_change=actions.pick_model,
    )
    arrival_bar.uploader("upload_model", "model")
    own_files.own_files("model", "menu")
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
            f"{escaping.markdown(model.note)}  \n{len(graph.layers)} prunable layers, {words.count(graph.params)} "
            f"parameters, {' '.join(words.operations(2 * graph.macs))} FLOPs. Input {shape}, "
            f"{(graph.output_shape or (1,))[-1]} outputs."
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
        names.setdefault(chosen, _data_title(chosen, model))
    state.show(actions.menu_key("data"), chosen or "")
    st.radio(
        "Data",
        [*names, ""],
        format_func=lambda name: escaping.markdown(names[name], 60) if name else NO_DATA,
        key=actions.menu_key("data"),
        on_change=actions.pick_data,
    )
    arrival_bar.uploader("upload_data", "data")
    own_files.own_files("data", "data")
    if chosen:
        data = resources.dataset(chosen, model)
        split = data.validation
        st.caption(
            f"{words.count(len(split))} {split.split} examples choose, "
            f"{words.count(len(data.test))} {data.test.split} examples judge. "
            f"Prepared as {escaping.markdown(str(split.preprocessing))}.{_accuracy(model, chosen)}"
        )
        if data.note:
            st.caption(escaping.markdown(data.note))
        preparing.button()
