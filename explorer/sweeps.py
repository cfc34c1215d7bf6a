"""The parts of the Sensitivity page: job bar, toolbar, heatmap, curves, limits as a plan."""

from typing import Any

import streamlit as st

from explorer import jobs, state, work
from explorer.components import declare
from explorer.controls import setting
from explorer.figures import curves, words
from explorer.figures.heatmap import heatmap
from explorer.present import sweeps as present
from explorer.present.headline import headline as headline_data
from explorer.present.rows import option_value, request_for
from explorer.theme import DAMAGE
from pruning_core import PruningError, Request
from pruning_core.criteria import CRITERIA
from pruning_core.granularities import GRANULARITIES
from pruning_core.plan import LayerPlan
from pruning_core.sensitivity.cells import Sweep

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
POLL_SECONDS = 0.5


@st.fragment(key="headline")
def headline() -> None:
    """Draw the slim headline."""
    bench = state.workbench()
    if bench:
        data = headline_data(bench, state.current(), form="slim")
        declare("headline")(key="headline_slim", data=data, on_tick_change=_tick, on_command_change=_headline_command)


def _tick() -> None:
    bench = state.workbench()
    if bench and bench.dataset:
        bench.refine(0.15)
    state.refresh("headline")


def _headline_command() -> None:
    sent, app = state.sent("headline_slim", "command"), state.current()
    if sent and sent["kind"] == "latency":
        work.start_latency(app.model or "", app.data, app.plan)
    elif sent and sent["kind"] in ("undo", "redo"):
        (state.undo if sent["kind"] == "undo" else state.redo)()


def _live() -> jobs.Job | None:
    app = state.current()
    return work.live_sweep(app.model or "", app.data)


def job_bar() -> None:
    """Draw progress, time left and Cancel of the sweep that runs on this model and data, whoever started it."""
    job = _live()
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
    st.progress(
        min(1.0, progress.share), text=f"Measuring `{cell.layer}` at {words.percent(cell.sparsity, 0)} · {done}"
    )


def toolbar() -> None:
    """Draw the choices of a sweep and its button."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="sweep_tools"):
        st.subheader("How much can each layer lose?", width="stretch")
        options = [(g.name, preset) for g in GRANULARITIES.values() for preset in g.presets]
        labels = [GRANULARITIES[name].label_of(**preset) for name, preset in options]
        chosen = st.selectbox(
            "Granularity", range(len(options)), format_func=labels.__getitem__, key="sweep_g", width=130
        )
        criterion = st.selectbox(
            "Criterion", list(CRITERIA), format_func=lambda name: CRITERIA[name].label, key="sweep_c", width=150
        )
        levels = st.multiselect(
            "Levels",
            LEVELS,
            default=LEVELS,
            format_func=lambda level: words.percent(level, 0),
            key="sweep_l",
            width=230,
        )
        total = len(state.workbench().dataset.validation)  # type: ignore[union-attr]
        samples = st.number_input("Samples", 16, total, value=min(2000, total), step=100, key="sweep_n", width=120)
        name, preset = options[chosen]
        wish = LayerPlan(granularity=name, criterion=criterion, settings=preset | _settings(name, criterion, preset))
        request = request_for(wish, levels=tuple(levels), samples=int(samples))
        state.view(sweep=request)
        st.button(
            _button_text(request),
            type="primary",
            key="start_sweep",
            on_click=_start,
            args=(request,),
            disabled=not levels,
        )


def _settings(granularity: str, criterion: str, preset: dict[str, Any]) -> dict[str, Any]:
    specs = GRANULARITIES[granularity].settings | CRITERIA[criterion].settings
    if not specs:
        return {}
    with st.popover("Settings"):
        key = option_value(granularity, preset) + criterion
        return {name: setting(s, preset.get(name, s.default), f"sweep:{key}:{name}") for name, s in specs.items()}


def _button_text(request: Request) -> str:
    return "Sweeping" if _live() else "Sweep again" if _known(request) else "Sweep"


def _start(request: Request) -> None:
    app = state.current()
    work.start_sweep(app.model or "", app.data or "", request)


def _known(request: Request) -> Sweep | None:
    app = state.current()
    return work.curves(app.model or "", app.data, request)


def results() -> None:
    """Draw heatmap and curves; they follow a running sweep."""
    st.fragment(_results, run_every=1.0 if _live() else None, key="sweep_results")()


def _results() -> None:
    app, bench = state.current(), state.workbench()
    request: Request = app.view["sweep"]
    known = _known(request)
    if bench is None:
        return
    if known is None:
        _nothing_yet(bench, request)
        return
    limits = present.limits(bench, known, request, app.tolerance)
    left, right = st.columns([940, 450], gap="medium")
    with left:
        data = heatmap(
            layers=[(layer.name, layer.params / bench.model.graph.params) for layer in bench.model.graph.layers],
            cells=present.cells(known),
            levels=present.levels(known, bench, request, _live() is not None),
            limits=limits,
            tolerance=app.tolerance,
            chosen=_compared(app, known),
            plan={name: wish.sparsity for name, wish in app.plan.layers.items()},
            running=_running_cell(),
            total=present.sweep_total(known, bench),
        )
        declare("sweep")(key="sweep", data=data | {"scale": DAMAGE}, on_set_change=_set, on_curves_change=_curves)
    with right:
        _selected(app, known)
        _limits(bench, known, request, limits)


def _nothing_yet(bench: Any, request: Request) -> None:
    cells = {layer.name: len(request.levels) for layer in bench.model.graph.layers}
    time = words.duration(bench.reference.seconds_for(cells, request.samples or 1))
    st.caption(f"No curves yet for this way of pruning. A sweep of all {len(cells)} layers takes about {time}.")


def _running_cell() -> tuple[str, float] | None:
    job = _live()
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


def _selected(app: state.ExplorerState, known: Sweep) -> None:
    chosen = _compared(app, known)
    st.markdown(f"**Selected layers** {len(chosen)} of {len({cell.layer for cell in known.cells})}")
    lines = [present.curve_line(known, name) for name in chosen]
    figure = curves.sensitivity_curves(lines, app.tolerance)
    st.plotly_chart(figure, key="sweep_curves", config={"displayModeBar": False}, alt=curves.describe(lines))


def _limits(bench: Any, known: Sweep, request: Request, limits: dict[str, float]) -> None:
    """Offer the largest sparsity of each layer within tolerance as a plan, and say what they cost together."""
    app = state.current()
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Use these limits as a plan", type="primary", key="use_limits", on_click=_use, args=(limits, request),
            disabled=not any(limits.values()),
        )  # fmt: skip
        if _live() is None:
            text = present.sweep_json(known)
            st.download_button(
                "Save sweep", text, "sweep.json", "application/json", key="save_sweep", on_click="ignore"
            )
    if app.notice:
        st.warning(app.notice)
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
        state.adopt(state.current().plan.with_layers(changes))
        state.view(limits_plan=state.current().plan.to_json())
    except PruningError as error:
        state.change(notice=str(error))
