"""The only file that knows the session exists: one frozen state, its history, its link, and the session's workbench."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

import pruning_core as pc
from explorer import permission, resources, sessions, visitors
from explorer.settings import SETTINGS
from explorer.snapshot import ExplorerState, from_link, to_link
from pruning_core.plan import Plan

__all__ = ["ExplorerState", "from_link", "to_link"]

HISTORY = 100
_STATE, _BENCH, _ADMITTED = "explorer_state", "explorer_workbench", "explorer_admitted"


def current() -> ExplorerState:
    """Return the session's state; the first call of a session reads the link."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = _from_link()
    state: ExplorerState = st.session_state[_STATE]
    return state


def change(**fields: Any) -> ExplorerState:
    """Replace fields of the state."""
    st.session_state[_STATE] = replace(current(), **fields)
    return current()


def view(**options: Any) -> ExplorerState:
    """Replace options of single views."""
    return change(view=dict(current().view) | options)


def refresh(*fragments: str) -> None:
    """Draw these fragments anew; the whole page where none is named or one of them was never drawn to its end."""
    try:
        st.rerun(list(fragments) or "app")
    except StreamlitAPIException:
        st.rerun()


def widget(key: str) -> Any:
    """Return the value of the widget with this key."""
    return st.session_state.get(key)


def sent(component: str, event: str) -> Any:
    """Return what a component sent; None where it sent nothing, or is gone since the page changed."""
    return getattr(st.session_state.get(component), event, None)


def show(key: str, value: Any) -> None:
    """Let the widget with this key show `value`; before it is drawn."""
    st.session_state[key] = value


def session() -> str:
    """Return who asks for work: this session or, reached from other machines, its visitor; empty outside of one."""
    context = get_script_run_ctx(suppress_warning=True)
    return ((not SETTINGS.local and visitor()) or context.session_id) if context else ""


def admitted() -> bool:
    """Whether this session found a place among those that the server allows; one that did keeps it."""
    if not st.session_state.get(_ADMITTED):
        st.session_state[_ADMITTED] = not sessions.is_full()
    return bool(st.session_state[_ADMITTED])


def visitor() -> str:
    """Return the owner of this visitor's uploads; empty where the browser keeps no cookie."""
    return visitors.owner_of(st.context.cookies)


def workbench() -> pc.Workbench | None:
    """Return the session's workbench on the chosen model and data, holding the present plan."""
    state = current()
    if state.model is None:
        return None
    key = (state.model, state.data)
    kept = st.session_state.get(_BENCH)
    if kept is None or kept[0] != key:
        reference = resources.reference(state.model, state.data)
        kept = (key, pc.Workbench(reference.model, reference=reference))
        st.session_state[_BENCH] = kept
    bench: pc.Workbench = kept[1]
    if bench.plan != state.plan:
        _hand_over(bench, state.plan)
    return bench


def _hand_over(bench: pc.Workbench, plan: Plan) -> None:
    """Give the state's plan to the workbench; a plan that does not fit this model is dropped with a notice."""
    try:
        plan = plan if plan.model.sha256 else plan.model_copy(update={"model": bench.plan.model})
        bench.set_plan(pc.spread(plan, bench.ranking))
    except pc.PruningError as error:
        change(notice=str(error), push=current().push + 1)
    change(plan=bench.plan)


def open_model(model: str | None, data: str | None) -> None:
    """Take another model and data; on a refusal everything stays as it was.

    Another model begins with a dense plan; with other data for the same model the plan and its history stay.
    """
    try:
        permission.check(model, data, visitor())
        reference = resources.reference(model, data) if model else None
    except pc.PruningError as error:
        change(notice=str(error), push=current().push + 1)
        return
    if model is not None and model == current().model:
        change(data=data, notice="", push=current().push + 1)
        write_link()
        return
    layers = reference.model.graph.layers if reference else ()
    plan = pc.plan_for(reference.model) if reference else Plan()
    first = layers[0].name if layers else None
    change(model=model, data=data, plan=plan, past=(), future=(), layer=first, notice="", view={})
    change(push=current().push + 1)
    write_link()


def commit(changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Change wishes of layers as one step of undo; a refusal becomes the notice and nothing changes."""
    try:
        bench = workbench()
        adopt(pc.edited(current().plan, changes, bench.ranking) if bench else current().plan)
    except pc.PruningError as error:
        change(notice=str(error), push=current().push + 1)


def adopt(plan: Plan) -> None:
    """Take `plan` as one step of undo; raises PruningError when it does not fit."""
    bench, before = workbench(), current().plan
    if bench is None or plan == before:
        return
    bench.set_plan(pc.spread(plan, bench.ranking))
    plan = bench.plan
    past = (*current().past, before)[-HISTORY:]
    change(plan=plan, past=past, future=(), notice="", push=current().push + 1)
    write_link()


def undo() -> None:
    """Go one plan back and select the layer that changed."""
    state = current()
    if state.past:
        _step(state.past[-1], past=state.past[:-1], future=(state.plan, *state.future))


def redo() -> None:
    """Take back the last undo."""
    state = current()
    if state.future:
        _step(state.future[0], past=(*state.past, state.plan), future=state.future[1:])


def _step(plan: Plan, **fields: Any) -> None:
    before = current()
    moved = [n for n in plan.layers.keys() | before.plan.layers.keys() if plan.layer(n) != before.plan.layer(n)]
    layer = moved[0] if len(moved) == 1 else before.layer
    change(plan=plan, layer=layer, notice="", push=before.push + 1, **fields)
    workbench()
    write_link()


def write_link() -> None:
    """Put the state into the address, so that a reload or another person sees the same."""
    if current().model:
        st.query_params["s"] = to_link(current())


def _from_link() -> ExplorerState:
    if "s" in st.query_params:
        state = from_link(st.query_params["s"])
        try:  # a stranger's link must not read files of the server
            permission.check(state.model, state.data, visitor())
        except pc.PruningError as error:
            return ExplorerState(notice=str(error))
        return _opened(state)
    if SETTINGS.model:
        return _opened(ExplorerState(model=SETTINGS.model, data=SETTINGS.data), own_data=True)
    return ExplorerState()


def _opened(state: ExplorerState, own_data: bool = False) -> ExplorerState:
    """Load what the state names; a model, data, plan or layer that is not to be had becomes a notice.

    With `own_data` a state without data takes the model's own; a link without data was made without.
    """
    if state.model is None:
        return state
    try:
        data = state.data or (resources.model(state.model).data_name if own_data else None)
        reference = resources.reference(state.model, data)
    except pc.PruningError as error:
        return ExplorerState(notice=str(error))
    graph, plan, notice = reference.model.graph, state.plan, state.notice
    try:
        bench = pc.Workbench(reference.model, reference=reference)
        plan = pc.spread(plan, bench.ranking)
        bench.exact(plan)
    except pc.PruningError as error:
        plan, notice = Plan(), str(error)
    if not plan.model.sha256:
        plan = plan.model_copy(update={"model": bench.plan.model})
    layer = state.layer if state.layer in graph.by_name else graph.layers[0].name if graph.layers else None
    return replace(state, data=data, plan=plan, layer=layer, notice=notice, push=1)
