"""What happens when a component or widget sends something: callbacks, each a few lines on the state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from explorer import fit_actions, jobs, permission, resources, state, work
from explorer.present import options
from explorer.present.mixer import preview_size
from explorer.present.options import request_for
from explorer.present.panel import TABS
from pruning_core import PruningError

ALL = ["headline", "mixer", "panel"]  # the fragments of Explore
REFINE_SECONDS = 0.15  # of measuring before the next answer is shown


def menu_key(what: str) -> str:
    """Return the key of a menu's choice, another one for each that is loaded: the browser would send the old choice
    again where something else, such as an upload, has changed it."""
    app = state.current()
    return f"pick_{what}:{(app.model if what == 'model' else app.data) or ''}"


def pick_model() -> None:
    """Open the chosen sample with its own data."""
    _open(state.widget(menu_key("model")))


def pick_torchvision() -> None:
    """Open a torchvision model by name."""
    name = (state.widget("pick_torchvision") or "").strip()
    if name:
        _open(name if name.startswith("torchvision:") else f"torchvision:{name}")


def open_sample(name: str) -> None:
    """Open a sample from the empty page."""
    _open(name)


def _open(spec: str) -> None:
    try:
        permission.check(spec, None, state.visitor())
        data = resources.model(spec).data_name
    except PruningError as error:
        state.change(notice=str(error), push=state.current().push + 1)
        return
    state.open_model(spec, data)


def pick_data() -> None:
    """Take other data for the present model."""
    state.open_model(state.current().model, state.widget(menu_key("data")) or None)


# ---- mixer


def mixer_drag() -> None:
    """A slider moves: the headline shows the exact figures of where it is."""
    sent = state.sent("mixer", "drag")
    if sent and sent["seq"] > _handled():
        state.view(drag=wishes(sent["changes"]))
        state.refresh("headline")


def mixer_commit() -> None:
    """A change is meant: one step of undo."""
    _once("commit", lambda sent: commit(sent["changes"]))


def mixer_select() -> None:
    """Another row is selected."""
    _once("select", lambda sent: select(sent["layer"]))


def mixer_command() -> None:
    """A button of the mixer, or a key."""
    _once("command", command)


def _once(event: str, act: Callable[[dict[str, Any]], None]) -> None:
    """Carry out an event of the mixer, which sends it again until it sees it acknowledged."""
    sent = state.sent("mixer", event)
    if sent and sent["seq"] > _handled():
        try:
            act(sent)
        finally:  # acting ends by drawing anew, which Streamlit does by an exception
            state.view(ack=sent["seq"])


def _handled() -> int:
    return int(state.current().view.get("ack", 0))


def commit(changes: dict[str, dict[str, Any]]) -> None:
    """Commit changes as the mixer words them."""
    state.view(drag=None)
    state.commit(wishes(changes))
    state.refresh(*ALL)


def wishes(changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn the mixer's changes into fields of wishes."""
    bench = state.workbench()
    return options.wishes(changes, state.current().plan, bench.ranking) if bench else {}


def select(layer: str) -> None:
    """Show `layer` in the panel."""
    state.change(layer=layer)
    state.refresh("mixer", "panel")


def command(sent: dict[str, Any]) -> None:
    """Carry out a command of the headline, the mixer or its note."""
    kind = sent["kind"]
    if kind == "edit":
        commit(sent["changes"])
    elif kind == "select":
        select(sent["layer"])
    elif kind in ("undo", "redo"):
        state.view(drag=None)
        (state.undo if kind == "undo" else state.redo)()
        state.refresh(*ALL)
    elif kind == "ignore":
        state.view(ignored=(*state.current().view.get("ignored", ()), tuple(sent["finding"])))
        state.refresh("mixer")
    elif kind == "tolerance":
        state.change(tolerance=float(sent["value"]), push=state.current().push + 1)
        state.write_link()
        state.refresh("headline", "mixer")
    elif kind == "latency":
        app = state.current()
        work.start_latency(app.model or "", app.data, app.plan)
        state.refresh("headline")
    elif kind in ("preview", "measure"):
        measure_rows(sent.get("layer"))
        state.refresh("headline", "mixer")
    elif kind == "mask":
        options = dict(state.current().view.get("weights", {}))
        state.view(weights=options | {"show_mask": not options.get("show_mask", True)})
        state.refresh("panel")
    elif kind == "tab":
        show_tab(sent["index"] - 1)
    elif kind == "plan_options":
        state.view(plan_options=True)
        state.refresh()
    elif kind == "fit":
        fit_actions.open_dialog()


def measure_rows(layer: str | None) -> None:
    """Preview all layers, or measure one in full, in the ways that the plan prunes them."""
    app, bench = state.current(), state.workbench()
    if bench is None or app.data is None:
        return
    samples = preview_size(bench)[0]
    names = [layer] if layer else [row.name for row in bench.model.graph.layers]
    ways: dict[str, list[str]] = {}
    requests = {}
    for name in names:
        request = request_for(app.plan.layer(name), app.plan, samples=None if layer else samples)
        requests[repr(request)] = request
        ways.setdefault(repr(request), []).append(name)
    for way, members in ways.items():
        work.start_sweep(app.model or "", app.data, replace(requests[way], layers=tuple(members)))


# ---- headline


def headline_command() -> None:
    """A button of the headline."""
    sent = state.sent("headline", "command")
    if sent and sent["kind"] != "copy_link":
        command(sent)


def headline_tick() -> None:
    """The headline asks for news: more examples, or a job's result.

    Its own fragment is drawn anyway; what else follows is drawn by `follow_up`.
    """
    app, bench = state.current(), state.workbench()
    if not state.sent("headline", "tick") or bench is None or jobs.is_timing():
        return
    finished = bench.dataset is None or bench.refine(REFINE_SECONDS).done
    if finished or work.live_sweep(app.model or "", app.data):
        state.view(measured=True)


def follow_up() -> None:
    """Draw the rest of the page after a measurement. Asked for in a callback it would lose a click on another page."""
    if state.current().view.get("measured"):
        state.view(measured=False)
        state.refresh()


def show_tab(index: int) -> None:
    """Choose a tab by its place."""
    if 0 <= index < len(TABS):
        state.change(tab=TABS[index])
        state.refresh("panel")
