"""Tab "Sparsity" of the dialog: one budget, split by every allocation, predicted and measured side by side."""

import streamlit as st

import pruning_core as pc
from explorer import fit_actions
from explorer.figures import allocations
from explorer.fit_limit import value_of
from explorer.fit_shared import NO_DATA, fit_button, outcome, terms
from explorer.fit_work import Asked
from explorer.jobs import Job
from explorer.present import fit as present
from explorer.present import fit_found as found
from explorer.state import ExplorerState
from pruning_core.allocation import ALLOCATIONS, Budget

GOALS = ("sparsity", "size", "macs", "params")
TITLES = ("Allocation", "Sparsity", "Predicted", "Measured", "")
COLUMNS = (1.6, 1, 1.4, 1.4, 0.7)


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
        goal = _sparsity() if metric == "sparsity" else value_of(bench, app, metric, "compare")
    asked = Asked("compare", terms(bench, app), goal)
    fit_button(bench, app, asked, f"Compare {len(ALLOCATIONS)} allocations")
    outcome(app, "compare", lambda job: _found(app, job))


def _sparsity() -> Budget | float:
    percent = st.number_input(
        "Sparsity, %", 1.0, 99.0, 50.0, 5.0, key="fit_sparsity", width=130, persist_state="session",
        help="Share of the weights of all free layers that goes.",
    )  # fmt: skip
    return percent / 100


def _found(app: ExplorerState, job: Job) -> None:
    points = found.points(job.result)
    if points:
        figure = allocations.comparison(points, app.tolerance, dark=st.context.theme.type == "dark")
        st.plotly_chart(figure, key="fit_compare", config={"displayModeBar": False}, alt=allocations.describe(points))
    with st.container(key="fit_table", gap=None):
        for column, title in zip(st.columns(COLUMNS), TITLES, strict=True):
            column.caption(title)
        for row in found.table(job.result):
            _row(row)


def _row(row: present.Row) -> None:
    if row["refusal"] is not None:
        name, why = st.columns([COLUMNS[0], sum(COLUMNS[1:])], vertical_alignment="center")
        name.markdown(row["label"])
        why.caption(row["refusal"])
        return
    cells = st.columns(COLUMNS, vertical_alignment="center")
    cells[0].markdown(row["label"], help=ALLOCATIONS[row["name"]].doc)
    for cell, figure in zip(cells[1:], ("sparsity", "predicted", "measured"), strict=False):
        cell.markdown(row[figure])
    cells[4].button(
        "Use", key=f"fit_use_{row['name']}", on_click=fit_actions.use, args=(row["plan"],), help=row["layers"]
    )
