"""The job bar and the toolbar of the Sensitivity page."""

from typing import Any

import streamlit as st

from explorer import jobs, state, work
from explorer import sweep_choices as choices
from explorer.figures import escaping, words
from explorer.present.options import request_for
from pruning_core import Request
from pruning_core.plan import LayerPlan

POLL_SECONDS = 0.5


def live() -> jobs.Job | None:
    """Return the sweep of this model and data that waits or runs."""
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
        return escaping.markdown(job.error)
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
        st.progress(min(1.0, progress.share), text=f"Stands while other work runs · {done}")
        return
    where = f"{escaping.code(cell.layer)} at {words.percent(cell.sparsity, 0)}"
    st.progress(min(1.0, progress.share), text=f"Measuring {where} · {done}")


def toolbar() -> None:
    """Draw the choices of a sweep and its button."""
    app = state.current()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="sweep_tools"):
        st.subheader("How much can each layer lose?", width="stretch")
        (name, preset), criterion = choices.granularity(), choices.criterion()
        choices.metric_menu()
        exact = choices.exact()
        with st.popover("More"):
            target, levels, samples = choices.target(), choices.levels(), choices.samples()
            settings = preset | choices.settings(name, criterion, preset)
        wish = LayerPlan(granularity=name, criterion=criterion, settings=settings)
        fields: dict[str, Any] = {"levels": tuple(levels), "samples": samples, "exact": exact, "target": target}
        request = request_for(wish, app.plan, **fields)
        state.view(sweep=request)
        text = _button_text(request)
        st.button(text, type="primary", key="start_sweep", on_click=_start, args=(request,), disabled=not levels)


def _button_text(request: Request) -> str:
    app = state.current()
    if live():
        return "Sweeping"
    last = work.last_sweep(app.model or "", app.data)
    if last and last.state == "stopped" and last.key == work.sweep_key(app.model or "", app.data or "", request):
        return "Go on"
    if choices.known(request):
        return "Sweep again"
    return "Go on" if work.is_kept(app.model or "", app.data or "", request) else "Sweep"


def _start(request: Request) -> None:
    app = state.current()
    work.start_sweep(app.model or "", app.data or "", request)
