"""The job bar and the toolbar of the Sensitivity page."""

from typing import Any

import streamlit as st

from explorer import jobs, state, work
from explorer.controls import setting
from explorer.figures import words
from explorer.present.options import option_value, request_for
from explorer.present.sweeps import readings
from pruning_core import Request
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan
from pruning_core.sensitivity import Sweep
from pruning_core.sensitivity.readings import READINGS, Reading

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
POLL_SECONDS = 0.5


def live() -> jobs.Job | None:
    app = state.current()
    return work.live_sweep(app.model or "", app.data)


def job_bar() -> None:
    """Draw progress, time left and Cancel of the sweep that runs on this model and data, whoever started it."""
    job = live()
    with st.container(key="job_bar", horizontal=True, vertical_alignment="center", gap="small"):
        if job is None:  # the place stays, so that nothing below jumps to another one
            st.caption(_last_words())
            return
        st.fragment(_progress, run_every=POLL_SECONDS)(job.id)
        st.button("Cancel", key="cancel_sweep", on_click=job.cancel)


def _last_words() -> str:
    """Say how the last sweep of this model ended."""
    app = state.current()
    job = work.last_sweep(app.model or "", app.data)
    if job is None:
        return "No sweep runs. A sweep prunes each layer alone, at each level, and measures."
    if job.state == "failed":
        return job.error
    total = job.progress.cells_total if job.progress else 0
    done = job.progress.cells_done if job.progress else 0
    if job.state == "stopped":
        return f"Stopped at {done} of {total} cells. They are kept."
    return f"{total} cells in {words.duration(job.seconds)}. Kept for next time."


def _progress(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        st.rerun()
        return
    progress = job.progress
    if progress is None:
        st.progress(0.0, text="Waiting for its turn" if job.state == "waiting" else "Preparing")
        return
    cell, left = progress.cell, words.duration(progress.seconds_left)
    done = f"{progress.cells_done} of {progress.cells_total} cells · about {left} left"
    if job.standing:
        st.progress(min(1.0, progress.share), text=f"Stands while shorter work runs · {done}")
        return
    st.progress(
        min(1.0, progress.share), text=f"Measuring `{cell.layer}` at {words.percent(cell.sparsity, 0)} · {done}"
    )


def toolbar() -> None:
    """Draw the choices of a sweep and its button."""
    app = state.current()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="sweep_tools"):
        st.subheader("How much can each layer lose?", width="stretch")
        (name, preset), criterion = _granularity(), _criterion()
        _metric(app)
        exact = _exact()
        with st.popover("More"):
            target, levels, samples = _target(), _levels(), _samples()
            settings = preset | _settings(name, criterion, preset)
        wish = LayerPlan(granularity=name, criterion=criterion, settings=settings)
        fields: dict[str, Any] = {"levels": tuple(levels), "samples": samples, "exact": exact, "target": target}
        request = request_for(wish, app.plan, **fields)
        state.view(sweep=request)
        text = _button_text(request)
        st.button(text, type="primary", key="start_sweep", on_click=_start, args=(request,), disabled=not levels)


def _granularity() -> tuple[str, dict[str, Any]]:
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


def _criterion() -> str:
    return st.selectbox(
        "Criterion",
        list(CRITERIA),
        format_func=lambda name: CRITERIA[name].label,
        key="sweep_c",
        width=150,
        persist_state="session",
    )


def _metric(app: state.ExplorerState) -> None:
    """Choose what the cells show; every sweep measures all of it."""
    known = curves_of(app.view.get("sweep"))
    names = readings(known)
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
    names = readings(curves_of(state.current().view.get("sweep")))
    chosen = state.widget("sweep_m")
    return READINGS[chosen if chosen in names else "agreement" if "accuracy" not in names else "accuracy"]


def _exact() -> bool:
    modes = ["Adaptive", "Exact"]
    chosen = st.segmented_control(
        "Examples", modes, default=modes[0], key="sweep_e", persist_state="session", required=True,
        help="Adaptive: a cell stops when its interval is inside 0.5 points, or a tenth of its drop. "
        "Exact: every cell sees all examples.",
    )  # fmt: skip
    return bool(chosen == modes[1])


def _target() -> str:
    names = {"weights": "Weights", "activations": "Activations"}
    chosen = st.radio(
        "Set to zero", list(names), format_func=names.__getitem__, key="sweep_t", persist_state="session",
        horizontal=True, help="Activations: the smallest of a layer's outputs, for each example anew.",
    )  # fmt: skip
    return str(chosen)


def _levels() -> list[float]:
    return st.multiselect(
        "Levels",
        LEVELS,
        default=LEVELS,
        format_func=lambda level: words.percent(level, 0),
        key="sweep_l",
        persist_state="session",
        width=360,
    )


def _samples() -> int:
    total = len(state.workbench().dataset.validation)  # type: ignore[union-attr]
    return int(
        st.number_input(
            "Samples", 16, total, value=min(2000, total), step=100, key="sweep_n", width=120, persist_state="session"
        )
    )


def _settings(granularity: str, criterion: str, preset: dict[str, Any]) -> dict[str, Any]:
    specs = GRANULARITIES[granularity].settings | CRITERIA[criterion].settings
    key = option_value(granularity, preset) + criterion
    return {name: setting(s, preset.get(name, s.default), f"sweep:{key}:{name}") for name, s in specs.items()}


def _button_text(request: Request) -> str:
    app = state.current()
    if live():
        return "Sweeping"
    last = work.last_sweep(app.model or "", app.data)
    if last and last.state == "stopped" and last.key == work.sweep_key(app.model or "", app.data or "", request):
        return "Go on"
    if known(request):
        return "Sweep again"
    return "Go on" if work.is_kept(app.model or "", app.data or "", request) else "Sweep"


def _start(request: Request) -> None:
    app = state.current()
    work.start_sweep(app.model or "", app.data or "", request)


def known(request: Request) -> Sweep | None:
    """Return what is known of this way of pruning."""
    app = state.current()
    return work.curves(app.model or "", app.data, request)


def curves_of(request: Request | None) -> Sweep | None:
    """Return what is known of what the toolbar asked for last, if it did."""
    return known(request) if request else None
