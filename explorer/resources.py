"""Loaded models, data and dense answers, shared by all sessions; nothing in them depends on a session's plan."""

from threading import Thread, main_thread

import streamlit as st

import pruning_core as pc
from explorer import loading
from explorer.loading import Subject
from pruning_core.plan import LayerPlan

MODELS_KEPT = 8


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Loading the model")
def model(spec: str) -> pc.Model:
    """Return the model named `spec`, traced."""
    return loading.model(spec)


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Loading the data")
def dataset(spec: str, model_spec: str) -> pc.Dataset:
    """Return the data named `spec`, prepared as it says, or as the model wants it where it does not say."""
    return loading.dataset(spec, model(model_spec))


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="Preparing the model")
def reference(model_spec: str, data_spec: str | None) -> pc.Reference:
    """Return the dense model's side of every comparison; weights are ranked in the background."""
    found = loading.reference(model(model_spec), dataset(data_spec, model_spec) if data_spec else None)
    Thread(target=_rank_all, args=(found,), name="ranking").start()
    return found


def subject(model_spec: str, data_spec: str | None) -> Subject:
    """Return what a worker process is told of a model and its data."""
    return loading.subject(reference(model_spec, data_spec), model_spec, data_spec)


def _rank_all(reference: pc.Reference) -> None:
    """Rank every layer in the way that new plans start with, so that the first move of a slider is quick.

    A daemon that is cut off inside torch aborts the interpreter, so this ends by itself when the program does.
    """
    for layer in reference.model.graph.layers:
        if not main_thread().is_alive():
            return
        reference.ranking.ranks(layer.name, LayerPlan())
