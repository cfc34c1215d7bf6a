"""Loaded models, data and dense answers, shared by all sessions; nothing in them depends on a session's plan."""

import gc
from functools import cache
from threading import Thread, main_thread

import streamlit as st

import pruning_core as pc
from pruning_core.plan import LayerPlan

MODELS_KEPT = 8


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Loading the model")
def model(spec: str) -> pc.Model:
    """Return the model named `spec`, traced."""
    loaded = pc.load_model(spec)
    _ = loaded.graph, loaded.sha256
    _set_imports_aside()
    return loaded


@cache
def _set_imports_aside() -> None:
    """Spare the collector torch's half a million objects, once all of them are imported: they live for ever."""
    gc.collect()
    gc.freeze()


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Loading the data")
def dataset(spec: str, model_spec: str) -> pc.Dataset:
    """Return the data named `spec`, prepared as it says, or as the model wants it where it does not say."""
    return pc.load_data(spec, model=model(model_spec))


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Preparing the model")
def reference(model_spec: str, data_spec: str | None) -> pc.Reference:
    """Return the dense model's side of every comparison; weights are ranked in the background."""
    found = pc.Reference(model(model_spec), dataset(data_spec, model_spec) if data_spec else None)
    _ = found.replay, found.structure.storage
    Thread(target=_rank_all, args=(found,), name="ranking").start()
    return found


def _rank_all(reference: pc.Reference) -> None:
    """Rank every layer in the way that new plans start with, so that the first move of a slider is quick.

    A daemon that is cut off inside torch aborts the interpreter, so this ends by itself when the program does.
    """
    for layer in reference.model.graph.layers:
        if not main_thread().is_alive():
            return
        reference.ranking.ranks(layer.name, LayerPlan())
