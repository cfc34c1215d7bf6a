"""What the tabs of "Fit to budget" share: limits of single layers, a job and its progress, tables of layers."""

from collections.abc import Callable
from math import nan
from typing import Any

import streamlit as st

import pruning_core as pc
from explorer import fit_actions, fit_work, jobs
from explorer.figures import escaping, words
from explorer.fit_work import Asked, Terms
from explorer.present import fit as present
from explorer.present import fit_found as found
from explorer.state import ExplorerState
from pruning_core.plan import Plan

POLL_SECONDS = 0.5
NO_DATA = "Curves and drops are measured, so this needs data. Add data at the top right; a threshold works without."


def samples(bench: pc.Workbench, app: ExplorerState) -> int:
    """Draw and return how many examples the curves are measured on."""
    sizes = present.sample_sizes(bench)
    return st.selectbox(
        "Examples per cell", sizes, index=sizes.index(present.usual_samples(bench, app)), format_func=words.count,
        key=f"fit_samples:{app.model}:{app.data}", width=150, persist_state="session",
        help="Each cell of a curve, one layer at one sparsity, is measured on so many. More of them narrow what is "
        "predicted.",
    )  # fmt: skip


def terms(bench: pc.Workbench, app: ExplorerState, n_samples: int) -> Terms:
    """Draw the limits of single layers and return the terms of a fit."""
    with st.expander("Layers: what stays, least and largest sparsities"):
        locked = present.locked(app)
        text = f"Locked and so left alone: {', '.join(locked)}." if locked else "Locked layers are always left alone."
        left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
        left.caption(f"{text} Tick what else is to stay as it is now; least and most bound the others.")
        gain = right.number_input(
            "Skip layers below, % of weights", 0.0, 100.0, 0.0, 0.1, format="%.4g", key="fit_gain",
            persist_state="session",
            help="Layers that hold a smaller share of all prunable weights stay dense.",
        )  # fmt: skip
        limits = _limits(bench, app)
    return present.terms(app, limits, gain / 100, n_samples)


def _limits(bench: pc.Workbench, app: ExplorerState) -> dict[str, dict[str, Any]]:
    rows = [
        {"layer": name, "now": 100 * app.plan.layer(name).sparsity, "stays": False, "least": nan, "most": nan}
        for name in present.unlocked(bench, app)
    ]
    percent: dict[str, Any] = {"min_value": 0.0, "max_value": 100.0, "format": "%.0f %%"}
    edited = st.data_editor(
        rows,
        key=f"fit_layers:{app.model}",
        hide_index=True,
        disabled=["layer", "now"],
        placeholder="–",
        column_config={
            "layer": st.column_config.TextColumn("Layer", width="medium"),
            "now": st.column_config.NumberColumn("Now", format="%.0f %%"),
            "stays": st.column_config.CheckboxColumn("Stays as it is"),
            "least": st.column_config.NumberColumn("At least", **percent),
            "most": st.column_config.NumberColumn("At most", **percent),
        },
    )
    return present.limits_of(edited)


def fit_button(bench: pc.Workbench, app: ExplorerState, asked: Asked, label: str) -> None:
    """Draw the button that starts a fit, and say what it measures first."""
    requests = present.requests(bench, app.plan, asked.terms.samples)
    first = present.missing(bench, app, requests)
    live = fit_work.newest(asked.kind, app.model, app.data)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Measure curves, then {label.lower()}" if first.requests else label,
            type="primary", key=f"fit_start_{asked.kind}", on_click=fit_actions.start,
            args=(asked, requests, first.requests), disabled=bool(live and live.live),
        )  # fmt: skip
        st.caption(present.missing_words(first, asked.terms.samples))


def outcome(app: ExplorerState, kind: str, draw: Callable[[jobs.Job], None]) -> None:
    """Draw how the newest fit of this kind stands: its progress, how it ended, or what it found."""
    job = fit_work.newest(kind, app.model, app.data)
    if job is None:
        return
    if job.live:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.fragment(_progress, run_every=POLL_SECONDS)(job.id)
            st.button("Cancel", key=f"fit_cancel_{kind}", on_click=job.cancel)
    elif not found.is_current(job, app):
        st.caption("The last fit was for other ways of pruning or other locks, so it is not shown.")
    elif job.state == "failed":
        st.warning(f"{found.goal_words(job)}: {escaping.markdown(job.error)}")
    elif job.state == "stopped":
        st.caption("Stopped. The cells that were measured are kept.")
    else:
        st.markdown(f"**{found.goal_words(job)}** · {words.duration(job.seconds)}")
        draw(job)


def _progress(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        st.rerun()
        return
    step = job.progress
    if step is None:
        st.progress(0.0, text="Waiting for its turn" if job.state == "waiting" else "Preparing")
        return
    left = "" if step.seconds_left is None else f" · about {words.duration(step.seconds_left)} left"
    st.progress(min(1.0, step.share or 0.0), text=step.text + left)


def layer_table(bench: pc.Workbench, before: Plan, after: Plan, why: dict[str, str] | None, key: str) -> None:
    """Draw what each layer loses now and would lose."""
    rows = found.layer_rows(bench, before, after, why)
    columns = {
        "Layer": st.column_config.TextColumn(width="medium"),
        "Now": st.column_config.NumberColumn(format="%.0f %%", width="small"),
        "Then": st.column_config.ProgressColumn(format="%.0f %%", min_value=0, max_value=100, color="primary"),
        "Note": st.column_config.TextColumn(width="large"),
    }
    if not any(row["Note"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "Note"} for row in rows]
    st.dataframe(
        rows,
        key=key,
        hide_index=True,
        column_config=columns,
    )
