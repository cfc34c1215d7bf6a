"""The results of the Sensitivity page: heatmap, curves, limits as a plan."""

from typing import Any

import streamlit as st

import pruning_core as pc
from explorer import findings, state, work
from explorer.components import declare
from explorer.figures import curves, escaping, words
from explorer.figures.heatmap import heatmap
from explorer.present import sweeps as present
from explorer.sweep_choices import known as known_cells
from explorer.sweep_choices import metric
from explorer.sweep_tools import live
from explorer.theme import DAMAGE
from pruning_core import PruningError, Request
from pruning_core.sensitivity.cells import Sweep
from pruning_core.sensitivity.effort import USUAL
from pruning_core.sensitivity.readings import Reading

MOST_ROWS = 5  # of the table under the curves


def results() -> None:
    """Draw heatmap and curves; they follow a running sweep."""
    st.fragment(_results, run_every=1.0 if live() else None, key="sweep_results")()


def _results() -> None:
    app, bench, reading = state.current(), state.workbench(), metric()
    request: Request = app.view["sweep"]
    known = known_cells(request)
    if bench is None:
        return
    if known is None:
        _nothing_yet(app, bench, request)
        return
    limits = present.limits(bench, known, request, app.tolerance)
    left, right = st.columns([940, 450], gap="medium")
    with left:
        data = heatmap(
            layers=present.heatmap_rows(bench, request),
            cells=present.cells(known, reading),
            levels=present.levels(known, bench, request, live() is not None),
            limits=limits,
            tolerance=app.tolerance,
            chosen=_compared(app, known),
            plan={name: wish.sparsity for name, wish in app.plan.layers.items()},
            running=_running_cell(),
            total=present.sweep_total(known, bench),
            scale=present.scale(reading),
        )
        declare("sweep")(key="sweep", data=data | {"scale": DAMAGE}, on_set_change=_set, on_curves_change=_curves)
        for text in known.notices:
            st.caption(escaping.markdown(words.typeset(text)))
    with right, st.container(key="side", gap="small"):
        _selected(app, known, reading, limits)
        _advice(app, known, reading)
        _limits(bench, known, request, limits)
    if live() is None:
        findings.together(bench)
        findings.guesses(known)


def _nothing_yet(app: state.ExplorerState, bench: Any, request: Request) -> None:
    if work.is_kept(app.model or "", app.data or "", request):
        st.caption("An earlier sweep of this way of pruning is kept. *Go on* shows it, and measures what is missing.")
        return
    cells = {layer.name: len(request.levels) for layer in bench.model.graph.layers}
    share = 1.0 if request.exact else USUAL
    time = words.duration(bench.reference.seconds_for(cells, request.samples or 1) * share)
    st.caption(f"No curves yet for this way of pruning. A sweep of all {len(cells)} layers takes about {time}.")
    if live() is None:
        findings.ranks(request)


def _running_cell() -> tuple[str, float] | None:
    job = live()
    return (job.progress.cell.layer, job.progress.cell.sparsity) if job and job.progress else None


def _set() -> None:
    sent, app = state.sent("sweep", "set"), state.current()
    request: Request = app.view["sweep"]
    if sent:
        fields = {"granularity": request.granularity, "criterion": request.criterion, "settings": request.settings}
        state.commit({sent["layer"]: fields | {"sparsity": sent["level"]}})
        state.change(layer=sent["layer"])
        state.refresh("headline", "sweep_results")


def _curves() -> None:
    sent = state.sent("sweep", "curves")
    if sent:
        state.view(compared=tuple(sent["chosen"]))
        state.refresh("sweep_results")


def _compared(app: state.ExplorerState, known: Sweep) -> list[str]:
    if app.view.get("compared") is None:
        return present.default_layers(known)
    return [name for name in app.view["compared"] if known.of_layer(name)]


def _selected(app: state.ExplorerState, known: Sweep, reading: Reading, limits: dict[str, float]) -> None:
    chosen = _compared(app, known)
    st.markdown(f"**Selected layers** {len(chosen)} of {len({cell.layer for cell in known.cells})}")
    lines = [present.curve_line(known, name, reading) for name in chosen]
    title = f"{reading.label}, {reading.unit}"
    tolerance = app.tolerance if reading.unit == "pt" else None
    figure = curves.sensitivity_curves(lines, tolerance, title.lower(), dark=st.context.theme.type == "dark")
    st.plotly_chart(figure, key="sweep_curves", config={"displayModeBar": False}, alt=curves.describe(lines, title))
    if chosen:
        st.table(present.table(known, chosen[:MOST_ROWS], limits, app.tolerance, reading), border="horizontal")
    if any(line.fitted and line.fitted != line.drops for line in lines):
        st.caption("Thin: the same curve made monotone, as allocations read it.")


def _advice(app: state.ExplorerState, known: Sweep, reading: Reading) -> None:
    """Say how many more samples would tell the first two chosen layers apart."""
    text = present.advice(known, _compared(app, known)[:2]) if reading.unit == "pt" else ""
    if text:
        st.caption(escaping.markdown(text))


def _limits(bench: Any, known: Sweep, request: Request, limits: dict[str, float]) -> None:
    """Offer the largest sparsity of each layer within tolerance as a plan, and say what they cost together."""
    app = state.current()
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Use these limits as a plan", type="primary", key="use_limits", on_click=_use, args=(limits, request),
            disabled=not any(limits.values()),
        )  # fmt: skip
        if live() is None:
            text = present.sweep_json(known)
            st.download_button(
                "Save sweep", text, "sweep.json", "application/json", key="save_sweep", on_click="ignore"
            )
    if app.notice:
        st.warning(escaping.markdown(app.notice))
    if app.view.get("limits_plan") == app.plan.to_json() and bench.started:
        estimate = bench.estimate()
        half = 50 * (estimate.drop_interval[1] - estimate.drop_interval[0])
        st.caption(
            "Each layer is pruned alone. All limits at once give "
            f"**{words.signed(100 * estimate.drop)} ± {words.rounded(half)} pt**, n {words.count(estimate.n)}."
        )
    else:
        st.caption(
            "Each layer is pruned alone. Together they lose more; the headline measures it once they are a plan."
        )


def _use(limits: dict[str, float], request: Request) -> None:
    fields = {"granularity": request.granularity, "criterion": request.criterion, "settings": request.settings}
    changes = {name: fields | {"sparsity": limit} for name, limit in limits.items() if limit > 0}
    try:
        bench, plan = state.workbench(), state.current().plan
        state.adopt(pc.edited(plan, changes, bench.ranking) if bench else plan)
        state.view(limits_plan=state.current().plan.to_json())
    except PruningError as error:
        state.change(notice=str(error))
    state.refresh("headline", "sweep_results")
