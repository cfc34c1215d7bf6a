"""The findings below the heatmap: norms that disagree with the data, layers together, what guesses were worth."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from explorer import actions, jobs, resources, state
from explorer.figures import escaping, words
from explorer.figures.interactions import describe, interaction_map
from explorer.jobs import Job
from explorer.present import findings as present
from explorer.tasks import findings as tasks
from pruning_core.loaders.re_estimated import MARK, spec_of
from pruning_core.sensitivity import Request, Sweep
from pruning_core.sensitivity.hints import HINTS
from pruning_core.sensitivity.norm_statistics import statistics_of

PAIRS_SAMPLES = 512
GUESSED_AT = 0.7
MOST_PAIRED = 12  # layers; 66 pairs


def norms_notice(bench: Any) -> None:
    """Say when batch-norm statistics disagree with the data, and offer the model with re-estimated ones."""
    app = state.current()
    if not app.data or MARK in (app.model or "") or not statistics_of(bench.model.graph):
        return
    job = _asked("norms") or _ask("norms", "Batch-norm statistics", tasks.norms)
    if job.live:
        st.fragment(_wait, run_every=1.0)(job.id)
    elif job.result:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.warning(escaping.markdown(job.result))
            st.button(
                "Re-estimate them", key="re_estimate", on_click=actions.open_sample,
                args=(spec_of(app.model or "", app.data),),
                help="Opens the model with the mean and variance of the calibration data; weights stay as they are.",
            )  # fmt: skip


def together(bench: Any) -> None:
    """Compare the sum of what the layers of the plan lose alone with what they lose together, and show their pairs."""
    app = state.current()
    pruned = present.pruned_rows(app.plan, bench.ranking)
    with st.expander(f"Together: do single drops add up?  {words.plural(len(pruned), 'pruned row')} in the plan"):
        if len(pruned) < 2:
            st.caption("Prune at least two layers: click cells of the heatmap, or use the limits as a plan.")
            return
        left, right = st.columns([1, 1], gap="large")
        with left:
            _sum(app, pruned)
        with right:
            _pairs(app, pruned)


def _sum(app: state.ExplorerState, pruned: list[str]) -> None:
    plan = app.plan
    job = _asked("together", plan)
    _button(job, "Measure alone and together", "together", tasks.together, plan, None)
    if job and job.result:
        found = job.result
        st.markdown(escaping.markdown(words.typeset(found.sentence)))
        st.table(present.sum_table(found), border="horizontal")


def _pairs(app: state.ExplorerState, pruned: list[str]) -> None:
    chosen = st.multiselect(
        "Layers", pruned, default=pruned[:6], key=f"paired:{app.push}", max_selections=MOST_PAIRED, width="stretch"
    )
    if len(chosen) < 2:
        st.caption("Choose two layers or more.")
        return
    job = _asked("pairs", app.plan, tuple(chosen), PAIRS_SAMPLES)
    _button(job, f"Measure {len(chosen) * (len(chosen) - 1) // 2} pairs", "pairs", tasks.pairs,
            app.plan, tuple(chosen), PAIRS_SAMPLES)  # fmt: skip
    if job and job.result:
        grid = present.pair_grid(job.result)
        figure = interaction_map(grid, dark=st.context.theme.type == "dark")
        st.plotly_chart(figure, key="pairs_map", config={"displayModeBar": False}, alt=describe(grid))
        st.caption(
            f"What two layers lose together beyond the sum of their single changes, in points, n "
            f"{words.count(job.result.n)}; below 0 they hurt each other; in italics where the interval holds 0."
        )


def guesses(known: Sweep) -> None:
    """Show what guesses without data say, labelled as such, and how well they ranked what was measured."""
    with st.expander("Guesses without data: would they have told?"):
        if any(not cell.done for cell in known.cells) or len(known.cells) < 2:
            st.caption("A guess is judged by what was measured: finish a sweep first.")
            return
        job = _asked("guesses", known)
        _button(job, "Judge the guesses", "guesses", tasks.guesses, known)
        if job and job.result:
            st.table(present.guess_table(job.result), border="horizontal")
            st.caption(
                f"Spearman's rank correlation of each guess with the measured {job.result[0].what}, with its 95 % "
                "interval. Sparsity alone knows nothing of the model: a guess below it tells nothing."
            )
        for member in HINTS.values():
            st.caption(f"**{member.label}**: {member.doc}")


def ranks(request: Request) -> None:
    """Offer an order of the layers that needs no data, where nothing is measured yet."""
    if request.target != "weights":
        return
    with st.expander("A guess without data: which layers might lose most"):
        job = _asked("ranks", request, GUESSED_AT)
        _button(job, "Guess", "ranks", tasks.ranks, request, GUESSED_AT)
        if job and job.result:
            st.table(present.rank_table(job.result), border="horizontal")
            st.caption(
                f"At {words.percent(GUESSED_AT, 0)} sparsity. A guess, not a measurement: after a sweep the page shows "
                "how well each of these ranked what was measured."
            )


def _button(job: Job | None, label: str, kind: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Offer to start; while it runs show how far it is, and Cancel."""
    if job and job.live:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.fragment(_progress, run_every=0.5)(job.id)
            st.button("Cancel", key=f"cancel_{kind}", on_click=job.cancel)
        return
    if job and job.error:
        st.warning(escaping.markdown(job.error))
    if not (job and job.result):
        st.button(label, key=f"start_{kind}", on_click=_ask, args=(kind, label, function, *arguments))


def _progress(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        st.rerun()
    share = job.progress if job and isinstance(job.progress, float) else 0.0
    st.progress(min(1.0, share), text="Waiting for its turn" if job and job.state == "waiting" else "Measuring")


def _wait(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        st.rerun()


def _key(kind: str, *arguments: Any) -> tuple[str, ...]:
    app = state.current()
    return ("finding", kind, app.model or "", app.data or "", *map(repr, arguments))


def _asked(kind: str, *arguments: Any) -> Job | None:
    return jobs.newest(_key(kind, *arguments))


def _ask(kind: str, title: str, function: Callable[..., Any], *arguments: Any) -> Job:
    app = state.current()
    subject = resources.subject(app.model or "", app.data)

    def work(job: Job) -> Any:
        return job.run(function, subject, *arguments)

    key = _key(kind, *(argument for argument in arguments if argument is not None))
    return jobs.start(key, title, work, lane=jobs.INTERACTIVE, session=state.session())
