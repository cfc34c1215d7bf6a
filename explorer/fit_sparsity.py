"""Tab "Sparsity" of the dialog: one budget, split by every allocation, predicted and measured side by side."""

import streamlit as st

import pruning_core as pc
from explorer import fit_actions
from explorer.figures import allocations, escaping, words
from explorer.fit_limit import value_of
from explorer.fit_shared import NO_DATA, fit_button, outcome, samples, terms
from explorer.fit_work import Asked
from explorer.jobs import Job
from explorer.present import fit as present
from explorer.present import fit_found as found
from explorer.state import ExplorerState
from pruning_core.allocation import ALLOCATIONS, Budget

GOALS = ("sparsity", "size", "macs", "params")
TITLES = ("Allocation", "Sparsity", ":gray[◇] Predicted", ":blue[●] Measured", "")
COLUMNS = (2.4, 0.9, 1.2, 1.2, 0.9)
CHANNELS = (
    "Whole channels take the weights along that read them, so more goes than the overall sparsity says. A budget on "
    "size, multiply-accumulates or parameters compares at one cost."
)
NO_BAR = {"displayModeBar": False}


def tab(bench: pc.Workbench, app: ExplorerState) -> None:
    """Draw the tab."""
    if bench.dataset is None:
        st.caption(NO_DATA)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        metric = st.selectbox(
            "Budget", GOALS, format_func=lambda n: "Overall sparsity" if n == "sparsity" else present.limit_label(n),
            key="fit_goal", width=180, persist_state="session",
        )  # fmt: skip
        goal: Budget | float = _sparsity() if metric == "sparsity" else value_of(bench, app, metric, "compare")
        n_samples = samples(bench, app)
    if metric == "sparsity" and present.cuts_channels(bench, app.plan):
        st.caption(CHANNELS)
    asked = Asked("compare", terms(bench, app, n_samples), goal)
    fit_button(bench, app, asked, f"Compare {len(ALLOCATIONS)} allocations")
    outcome(app, "compare", lambda job: _found(app, job))


def _sparsity() -> float:
    percent = st.number_input(
        "Sparsity, %", 1.0, 99.0, 50.0, 5.0, format="%.4g", key="fit_sparsity", width=130, persist_state="session",
        help="Share of the weights of all free layers that goes.",
    )  # fmt: skip
    return percent / 100


def _found(app: ExplorerState, job: Job) -> None:
    """Draw the table and beside it, row for row, the plot; what was refused stands below."""
    points, rows = found.points(job.result), found.table(job.result)
    left, right = st.columns([7, 5], gap="medium")
    with left, st.container(key="fit_table", gap=None):
        for column, title in zip(st.columns(COLUMNS), TITLES, strict=True):
            column.markdown(f":small[{title}]")
        for row in rows:
            if row["refusal"] is None:
                _row(row)
    if points:
        figure = allocations.comparison(points, app.tolerance, dark=st.context.theme.type == "dark")
        right.plotly_chart(figure, key="fit_compare", config=NO_BAR, alt=allocations.describe(points))
        if n := allocations.beyond(points):
            right.caption(f"{words.plural(n, 'prediction')} beyond −100 pt not drawn: single drops add up to too much.")
    for row in rows:
        if row["refusal"] is not None:
            st.caption(f"**{row['label']}** cannot: {escaping.markdown(row['refusal'])}.")


def _row(row: present.Row) -> None:
    cells = st.columns(COLUMNS)
    cells[0].markdown(f":small[{row['label']}]", help=ALLOCATIONS[row["name"]].doc)
    for cell, figure in zip(cells[1:], ("sparsity", "predicted", "measured"), strict=False):
        cell.markdown(f":small[{row[figure]}]")
    cells[4].button(
        "Use", key=f"fit_use_{row['name']}", on_click=fit_actions.use, args=(row["plan"],),
        help=escaping.markdown(row["layers"]),
    )  # fmt: skip
