"""Tab "Limit" of the dialog: least predicted drop under a limit on a cost, or least cost under a limit on the drop."""

import streamlit as st

import pruning_core as pc
from explorer import fit_actions
from explorer.figures import escaping
from explorer.fit_shared import NO_DATA, fit_button, layer_table, outcome, samples, terms
from explorer.fit_work import Asked, Fitted, problem
from explorer.jobs import Job
from explorer.present import fit as present
from explorer.present import fit_found as found
from explorer.state import ExplorerState
from pruning_core.allocation import COSTS, Budget
from pruning_core.allocation.text import DROP


def tab(bench: pc.Workbench, app: ExplorerState) -> None:
    """Draw the tab."""
    if bench.dataset is None:
        st.caption(NO_DATA)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        metric = st.selectbox(
            "Limit", present.LIMITS, format_func=present.limit_label, key="fit_metric", width=180,
            persist_state="session",
        )  # fmt: skip
        limit = value_of(bench, app, metric, "limit")
        least = _least(metric)
        n_samples = samples(bench, app)
    asked = Asked("limit", terms(bench, app, n_samples), limit, least)
    if why := _why_not(app, asked, metric, least):
        st.warning(escaping.markdown(why))
        return
    fit_button(bench, app, asked, "Fit")
    outcome(app, "limit", lambda job: _found(bench, app, job))


def value_of(bench: pc.Workbench, app: ExplorerState, metric: str, kind: str) -> Budget:
    """Draw the number of a limit with its unit, and return the limit."""
    units = present.units(metric)
    unit = units[0]
    if len(units) > 1:
        unit = st.selectbox(
            "Unit", units, format_func=lambda name: present.UNIT_LABELS.get(name, name), width=120,
            key=f"fit_unit_{kind}_{metric}", persist_state="session",
        )  # fmt: skip
    usual, step = present.usual_limit(bench, app, metric, unit)
    value = st.number_input(
        "At most, pt" if unit == present.POINTS else "At most", 0.0, None if unit not in present.SHARES else 100.0,
        usual, step, format="%.4g", key=f"fit_value_{kind}_{metric}_{unit}", width=130, persist_state="session",
        help=present.limit_help(bench, metric),
    )  # fmt: skip
    return present.budget(metric, value, unit)


def _least(metric: str) -> str:
    if metric != DROP:
        st.selectbox("Make least", ["Predicted drop"], key="fit_least_drop", width=180, disabled=True)
        return "size"
    return st.selectbox(
        "Make least", present.LIMITS[1:], format_func=present.limit_label, key="fit_least", width=180,
        persist_state="session",
    )  # fmt: skip


def _why_not(app: ExplorerState, asked: Asked, metric: str, least: str) -> str | None:
    cost = COSTS[least if metric == DROP else metric]
    try:
        return cost.why_not(problem(app.model or "", app.data, asked.terms))
    except pc.PruningError as error:
        return str(error)


def _found(bench: pc.Workbench, app: ExplorerState, job: Job) -> None:
    fitted: Fitted = job.result
    figures = found.figures(fitted)
    for column, (label, value, how) in zip(st.columns(len(figures)), figures, strict=True):
        with column, st.container(gap=None):
            st.metric(label, value)
            st.caption(how)
    plan = fitted.allocation.plan
    layer_table(bench, app.plan, plan, fitted.allocation.why_dense, "fit_limit_layers")
    st.button("Use this plan", type="primary", key="fit_use_limit", on_click=fit_actions.use, args=(plan,))
