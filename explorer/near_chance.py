"""The bar that a model gets which answers no better than chance: other ways to prepare its inputs are tried for it."""

from typing import Any

import streamlit as st

from explorer import jobs, resources, state
from explorer.figures import escaping, words
from explorer.jobs import Job
from explorer.preparing import NUMBERS
from explorer.tasks import findings as tasks
from pruning_core.loaders.options import split, with_changes
from pruning_core.loaders.suggest import NEAR, PreparingFinding
from pruning_core.sensitivity.tally import Tally

ENOUGH = 64  # examples that the dense model answered, before it is said to guess


def notice(dense: Tally, n_classes: int) -> None:
    """Have the ways to prepare tried once the dense model is seen to guess; for the fragment that measures it."""
    guesses = dense.labelled and dense.n >= ENOUGH and dense.correct / dense.n <= NEAR / n_classes
    if guesses and jobs.newest(_key()) is None:
        _ask()
        state.refresh()


def bar() -> None:
    """Draw what was found."""
    job = jobs.newest(_key()) if state.current().data else None
    if job is None or (not job.live and not job.result) or state.current().view.get("guessing_known"):
        return
    with st.container(key="near_chance", horizontal=True, vertical_alignment="center", gap="small"):
        if job.live:
            st.fragment(_wait, run_every=1.0)(job.id)
        else:
            _found(job.result)


def _wait(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        state.refresh()
    st.markdown("The model answers no better than chance: other ways to prepare its inputs are being tried.")


def _found(found: PreparingFinding) -> None:
    low, high = (words.percent(end) for end in found.interval)
    st.markdown(
        f":orange[**Near chance.**] The model is right on {words.percent(found.before)} of {words.count(found.n)} "
        f"examples; prepared as {escaping.code(str(found.preprocessing))} it is right on "
        f"**{words.percent(found.after)}** ({low} to {high})."
    )
    st.button("Prepare so", key="prepare_so", type="primary", on_click=_use, args=(found,))
    st.button("Leave it", key="leave_so", on_click=lambda: state.view(guessing_known=True))


def _use(found: PreparingFinding) -> None:
    app, (_, options) = state.current(), split(f"data{found.option}")
    state.open_model(app.model, with_changes(app.data or "", dict.fromkeys(NUMBERS, "") | options))


def _key() -> tuple[str, ...]:
    app = state.current()
    return "near chance", app.model or "", app.data or ""


def _ask() -> None:
    app = state.current()
    subject = resources.subject(app.model or "", app.data)

    def work(job: Job) -> Any:
        return job.run(tasks.preparing, subject)

    jobs.start(_key(), "Ways to prepare the inputs", work, lane=jobs.INTERACTIVE, session=state.session())
