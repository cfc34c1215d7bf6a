"""Widgets drawn from what a seam's member declares about its settings."""

from typing import Any

import streamlit as st

from explorer import state
from explorer.state import ExplorerState
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.registry import SettingSpec


def setting(spec: SettingSpec, value: Any, key: str, **more: Any) -> Any:
    """Draw one declared setting and return its value."""
    label = spec.name.replace("_", " ").capitalize()
    if spec.choices:
        return st.selectbox(label, spec.choices, index=spec.choices.index(value), key=key, **more)
    number = spec.kind
    bounds = spec.bounds
    limits = {"min_value": number(bounds.minimum), "max_value": number(bounds.maximum)} if bounds else {}
    step = {"step": number(bounds.step)} if bounds else {}
    return st.number_input(label, value=number(value), key=key, **limits, **step, **more)


def layer_settings(app: ExplorerState) -> None:
    """Draw the settings of the selected layer's granularity and criterion, where they have any."""
    name = app.layer or ""
    wish = app.plan.layer(name)
    specs = GRANULARITIES[wish.granularity].settings | CRITERIA[wish.criterion].settings
    if not specs:
        return
    for column, (key, spec) in zip(st.columns(len(specs)), specs.items(), strict=True):
        with column:
            widget = f"setting:{app.push}:{name}:{key}"
            setting(spec, wish.settings.get(key, spec.default), widget, on_change=_changed, args=(widget, key))


def _changed(widget: str, key: str) -> None:
    app = state.current()
    wish = app.plan.layer(app.layer or "")
    fields: dict[str, Any] = {"settings": dict(wish.settings) | {key: state.widget(widget)}}
    pattern = {name: fields["settings"].get(name, default) for name, default in (("n", 2), ("m", 4))}
    if wish.granularity == "n_m" and wish.sparsity:
        fields["sparsity"] = 1 - pattern["n"] / pattern["m"]
    state.commit({app.layer or "": fields})
    state.refresh("headline", "mixer", "panel")
