"""The choices of a sweep on the Sensitivity page, one function for each menu."""

from typing import Any

import streamlit as st

from explorer import state, work
from explorer.controls import setting
from explorer.figures import words
from explorer.present.options import option_value
from explorer.present.sweeps import readings
from pruning_core import Request
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.sensitivity import Sweep
from pruning_core.sensitivity.readings import READINGS, Reading

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def granularity() -> tuple[str, dict[str, Any]]:
    """Return the name of the chosen granularity and its settings."""
    options = [(g.name, preset) for g in GRANULARITIES.values() for preset in g.presets]
    labels = [GRANULARITIES[name].label_of(**preset) for name, preset in options]
    chosen = st.selectbox(
        "Granularity",
        range(len(options)),
        format_func=labels.__getitem__,
        key="sweep_g",
        width=130,
        persist_state="session",
    )
    return options[chosen]


def criterion() -> str:
    """Return the name of the chosen criterion."""
    return st.selectbox(
        "Criterion",
        list(CRITERIA),
        format_func=lambda name: CRITERIA[name].label,
        key="sweep_c",
        width=150,
        persist_state="session",
    )


def metric_menu() -> None:
    """Choose what the cells show; every sweep measures all of it."""
    names = readings(_shown())
    st.selectbox(
        "Metric",
        names,
        format_func=lambda name: READINGS[name].label,
        key="sweep_m",
        width=170,
        persist_state="session",
    )


def metric() -> Reading:
    """Return what the cells show; without labels agreement where nothing else was chosen."""
    names = readings(_shown())
    chosen = state.widget("sweep_m")
    return READINGS[chosen if chosen in names else "agreement" if "accuracy" not in names else "accuracy"]


def exact() -> bool:
    """Return whether every cell is to see all examples."""
    modes = ["Adaptive", "Exact"]
    chosen = st.segmented_control(
        "Examples", modes, default=modes[0], key="sweep_e", persist_state="session", required=True,
        help="Adaptive: a cell stops when its interval is inside 0.5 points, or a tenth of its drop. "
        "Exact: every cell sees all examples.",
    )  # fmt: skip
    return bool(chosen == modes[1])


def target() -> str:
    """Return what is to be set to zero."""
    names = {"weights": "Weights", "activations": "Activations"}
    chosen = st.radio(
        "Set to zero", list(names), format_func=names.__getitem__, key="sweep_t", persist_state="session",
        horizontal=True, help="Activations: the smallest of a layer's outputs, for each example anew.",
    )  # fmt: skip
    return str(chosen)


def levels() -> list[float]:
    """Return the chosen sparsities."""
    return st.multiselect(
        "Levels",
        LEVELS,
        default=LEVELS,
        format_func=lambda level: words.percent(level, 0),
        key="sweep_l",
        persist_state="session",
        width=360,
    )


def samples() -> int:
    """Return how many examples a sweep takes."""
    total = len(state.workbench().dataset.validation)  # type: ignore[union-attr]
    return int(
        st.number_input(
            "Samples", 16, total, value=min(2000, total), step=100, key="sweep_n", width=120, persist_state="session"
        )
    )


def settings(granularity: str, criterion: str, preset: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that granularity and criterion declare."""
    specs = GRANULARITIES[granularity].settings | CRITERIA[criterion].settings
    key = option_value(granularity, preset) + criterion
    return {name: setting(s, preset.get(name, s.default), f"sweep:{key}:{name}") for name, s in specs.items()}


def known(request: Request) -> Sweep | None:
    """Return what is known of this way of pruning."""
    app = state.current()
    return work.curves(app.model or "", app.data, request)


def _shown() -> Sweep | None:
    """Return what is known of what the toolbar asked for last, if it did."""
    request = state.current().view.get("sweep")
    return known(request) if request else None
