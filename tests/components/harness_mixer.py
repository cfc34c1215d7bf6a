"""A small Streamlit page with the mixer and the headline, and what is needed to run it in a browser.

As a page: `?rows=10|105|300`, `?page=states`, `?latency=0.2` (seconds a run takes), `?evil=1`.
As a module: `serve()` starts it on a free port, `browser_page()` opens Chromium on it.
"""

# ruff: noqa: E501  (tables of figures)

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

LEVELS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
TOLERANCE = 1.0
# name, kind, weights, share of parameters, share of MACs, sparsity, granularity, criterion, drops, drop of the plan, half
RESNET: list[tuple[Any, ...]] = [
    (
        "stem.0",
        "conv 3×3 · 1 → 16",
        144,
        0.002,
        0.012,
        0,
        "fine_grained",
        "l1",
        [0, -0.1, -6.9, -1.5, -9.7, -49, -56, -50, -71, -79, -81],
        0,
        0,
    ),
    (
        "layers.0.conv1",
        "conv 3×3 · 16 → 16",
        2304,
        0.03,
        0.193,
        0.2,
        "fine_grained",
        "l1",
        [0, -0.2, -0.15, -0.35, -0.5, -1.35, -2.65, -7.75, -29, -72, -81],
        -0.15,
        0.45,
    ),
    (
        "layers.0.conv2",
        "conv 3×3 · 16 → 16",
        2304,
        0.03,
        0.193,
        0.4,
        "fine_grained",
        "l1",
        [0, -0.1, -0.2, 0.05, -0.5, -1.95, -1.8, -3.8, -4.75, -21.6, -69],
        -0.5,
        0.6,
    ),
    (
        "layers.1.conv1",
        "conv 3×3 · 16 → 32",
        4608,
        0.06,
        0.097,
        0.5,
        "n_m?m=4&n=2",
        "l1",
        [0, 0.14, 0, 0.14, -0.57, -3.4, -7.5, -17, -38, -90, -90],
        -3.4,
        1.03,
    ),
    (
        "layers.1.conv2",
        "conv 3×3 · 32 → 32",
        9216,
        0.12,
        0.193,
        0.2,
        "fine_grained",
        "l1",
        [0, -0.15, 0.1, -0.35, -0.95, -1.35, -4.1, -11.9, -27.5, -72, -74],
        0.1,
        0.24,
    ),
    (
        "layers.1.down.0",
        "conv 1×1 · 16 → 32",
        512,
        0.007,
        0.011,
        0.3,
        "fine_grained",
        "l1",
        [0, -0.05, -0.1, -0.2, -0.75, -2.1, -2.9, -4.25, -8.1, -9.1, -13],
        -0.2,
        0.44,
    ),
    (
        "layers.2.conv1",
        "conv 3×3 · 32 → 64",
        18432,
        0.24,
        0.097,
        0.6,
        "fine_grained",
        "l1",
        [0, -0.05, 0, 0.05, 0, -0.35, -0.6, -1.75, -9.45, -52.6, -64.8],
        -0.6,
        0.75,
    ),
    (
        "layers.2.conv2",
        "conv 3×3 · 64 → 64",
        36864,
        0.48,
        0.193,
        0.125,
        "filter",
        "l1_norm",
        [0, -0.15, -1.65, -2.1, -4.8, -7.95, -19.4, -21.5, -28.4, -38.5, -37.9],
        -0.45,
        0.7,
    ),
    (
        "layers.2.down.0",
        "conv 1×1 · 32 → 64",
        2048,
        0.027,
        0.011,
        0.125,
        "filter",
        "l1_norm",
        [0, -0.4, -0.75, -1.4, -1.65, -2.6, -3.05, -3.1, -3.4, -4.25, -4.15],
        -0.45,
        0.7,
    ),
    (
        "fc",
        "linear · 64 → 10",
        640,
        0.008,
        0.0001,
        0.3,
        "fine_grained",
        "l1",
        [0, -0.05, -0.3, -0.6, -0.45, -1.75, -1.45, -3.95, -11.1, -40, -49.3],
        -0.6,
        0.73,
    ),
]
GRANULARITIES = [
    {"value": "fine_grained", "label": "Fine"},
    {"value": "row", "label": "Row"},
    {"value": "n_m?m=4&n=2", "label": "2:4"},
    {"value": "filter", "label": "Filter"},
]
CRITERIA = [
    {"value": "l1", "label": "Magnitude"},
    {"value": "l1_norm", "label": "L1 norm"},
    {"value": "random", "label": "Random"},
]


GROUPS = {  # layer -> letter, whether it binds now
    "layers.1.conv2": ("B", False),
    "layers.1.down.0": ("B", False),
    "layers.2.conv2": ("C", True),
    "layers.2.down.0": ("C", True),
    "stem.0": ("A", False),
    "layers.0.conv2": ("A", False),
}


def half_of(drop: float) -> float:
    return 0.18 + 0.32 * abs(drop) ** 0.5


def curve(drops: list[float], preview: bool = False) -> dict[str, Any]:
    low, high = [d - half_of(d) for d in drops], [d + half_of(d) for d in drops]
    return {"levels": LEVELS, "drops": drops, "low": low, "high": high, "preview": preview}


def interpolate(drops: list[float], sparsity: float) -> float:
    for k in range(1, len(LEVELS)):
        if LEVELS[k] >= sparsity:
            part = (sparsity - LEVELS[k - 1]) / (LEVELS[k] - LEVELS[k - 1])
            return drops[k - 1] + part * (drops[k] - drops[k - 1])
    return drops[-1]


def row(values: tuple[Any, ...]) -> dict[str, Any]:
    name, kind, weights, params, macs, sparsity, granularity, criterion, drops, value, half = values
    steps = {"n_m?m=4&n=2": [0, 0.5], "filter": [k / 64 for k in range(64)]}.get(granularity)
    drop = {"state": "above" if value < -TOLERANCE else "measured", "value": value, "half": half, "n": 2000}
    return {
        "name": name,
        "kind": kind,
        "prunable": True,
        "why_not": None,
        "n_weights": weights,
        "share_params": params,
        "share_macs": macs,
        "sparsity": sparsity,
        "granularity": granularity,
        "criterion": criterion,
        "locked": False,
        "steps": steps,
        "max_sparsity": 0.999,
        "curve": curve(drops),
        "bytes_per_weight": 4,
        "drop": drop if sparsity else {"state": "dense", "value": 0, "half": 0, "n": 2000},
    }


def small_model() -> list[dict[str, Any]]:
    rows = [row(values) for values in RESNET]
    for item in rows:
        letter, active = GROUPS.get(item["name"], (None, False))
        item["group"] = {"letter": letter, "active": active, "tip": f"group {letter}"} if letter else None
        item["units"] = {"word": "channel", "n": 64, "stay": []} if active else None
    rows[0]["locked"] = True
    rows[-1]["curve"]["preview"] = True
    rows[-1]["drop"] = {"state": "measuring", "value": -0.6, "half": 0.7, "n": 620, "total": 2000}
    return rows


def big_model(count: int) -> list[dict[str, Any]]:
    """Names of a ResNet-101, repeated until there are `count` rows."""
    chance = random.Random(7)
    names, stage = [("conv1", "conv 7×7")], 0
    while len(names) < count - 1:
        stage += 1
        for block in range({1: 3, 2: 4, 3: 23, 4: 3}.get(stage, 20)):
            names += [(f"layer{stage}.{block}.conv{k}", "3×3" if k == 2 else "1×1") for k in (1, 2, 3)]
            names += [(f"layer{stage}.0.downsample.0", "1×1")] if block == 0 else []
    names = [*names[: count - 1], ("fc", "linear")]
    rows = []
    for k, (name, kind) in enumerate(names):
        drops = [d * (0.55 + 0.6 * chance.random()) for d in RESNET[2 + chance.randrange(7)][8]]
        sparsity = 0 if k == 0 else round(0.1 + 0.45 * chance.random(), 2)
        value = interpolate(drops, sparsity)
        weights = chance.randint(5_000, 2_000_000)
        rows.append(
            row(
                (
                    name,
                    kind,
                    weights,
                    weights / (1e6 * count),
                    1 / count,
                    sparsity,
                    "fine_grained",
                    "l1",
                    drops,
                    value,
                    half_of(value),
                )
            )
        )
    rows[0]["locked"] = True
    return rows


def states() -> list[dict[str, Any]]:
    """Every state of a row, in the order of LOOK; names say which."""
    rows = {values[0]: values for values in RESNET}

    def at(source: str, name: str, **changes: Any) -> dict[str, Any]:
        made = row(rows[source]) | {"name": name}
        return made | changes

    measured = {"state": "measured", "value": 0.1, "half": 0.2, "n": 2000}
    return [
        at("layers.1.conv2", "state.dense", sparsity=0, drop={"state": "dense", "value": 0, "half": 0}),
        at("layers.1.conv2", "state.pruned", drop=measured),
        at("layers.2.conv1", "state.estimated", sparsity=0.52, drop={"state": "est", "value": -0.4, "half": 0.9}),
        at("layers.2.conv1", "state.measuring", sparsity=0.52, drop={"state": "measuring", "value": -0.4, "half": 0.8, "n": 620, "total": 2000}),
        at("layers.2.conv1", "state.undecided", sparsity=0.64, drop={"state": "undecided", "value": -0.9, "half": 0.7, "n": 2000}),
        at("layers.1.conv1", "state.above_pattern"),
        at("layers.1.conv2", "state.locked", locked=True, drop=measured),
        at("layers.1.conv1", "state.locked_above", locked=True),
        at("fc", "state.preview", curve=curve(list(rows["fc"][8]), preview=True), drop={"state": "measured", "value": -0.6, "half": 2.6, "n": 64}),
        at("layers.1.conv2", "state.no_curve", curve=None, drop={"state": "none", "text": "not measured"}),
        at("layers.1.conv2", "state.failed", drop={"state": "failed", "text": "Out of memory at 2,000 examples.", "retry": "Retry with 500"}),
        at("layers.1.conv2", "pos_embed", prunable=False, why_not="Added to activations; no convolution, linear or matmul uses it as a weight.", kind="parameter · 1 × 50 × 64"),
    ]  # fmt: skip


NOTE = {
    "text_parts": [{"text": "2.1 pt above tolerance.", "bold": True}, {"text": "layers.1.conv1", "mono": True}, {"text": " alone costs 3.4 pt; fine-grained, it stays within tolerance up to 48 %."}],
    "actions": [
        {"label": "Show layer", "command": {"kind": "select", "layer": "layers.1.conv1"}},
        {"label": "Use fine, 48 %", "command": {"kind": "edit", "changes": {"layers.1.conv1": {"granularity": "fine_grained", "sparsity": 0.48}}}},
    ],
}  # fmt: skip
HEADLINE = {
    "metrics": [
        {"key": "accuracy", "label": "Accuracy", "how": "n 2,000 · 95 %", "value": "88.0", "unit": "%", "change": "−3.1 pt", "tone": "warn", "interval": "± 1.1",
         "dense": "dense 91.1", "busy": False, "title": "n 2,000, Wilson 95 %; the change is paired.",
         "glyph": {"kind": "accuracy", "dense": 91.05, "value": 88.0, "low": 86.9, "high": 89.1, "tolerance": 90.05}, "action": None},
        {"key": "size", "label": "Size", "how": "bitmask, fp32", "value": "229", "unit": "KB", "change": "−26.4 %", "tone": "plain", "interval": "", "dense": "dense 311",
         "busy": False, "title": "Smallest of dense, bitmask and CSR, index included.", "glyph": {"kind": "bar", "fraction": 0.735, "null": None}, "action": None},
        {"key": "flops", "label": "FLOPs", "how": "13.3 M skipping zeros", "value": "18.2", "unit": "M", "change": "−2.6 %", "tone": "plain", "interval": "", "dense": "dense 18.7",
         "busy": False, "title": "2 x MACs of one example, as run.", "glyph": {"kind": "bar", "fraction": 0.974, "null": None}, "action": None},
        {"key": "latency", "label": "Latency", "how": "ONNX Runtime, 1 thread, batch 1", "value": "0.41", "unit": "ms", "change": "no difference", "tone": "muted", "interval": "",
         "dense": "dense 0.42", "busy": False, "title": "", "glyph": {"kind": "bar", "fraction": 0.985, "null": [0.955, 1.0]}, "action": {"label": "Measure", "command": {"kind": "latency"}}},
    ],
    "can_undo": True, "can_redo": False, "link": True, "status": "Present plan, all measured", "announce": "",
}  # fmt: skip


# ---- the page, run by Streamlit ----


def page() -> None:
    import streamlit as st

    from explorer import theme

    st.set_page_config(layout="wide")
    st.html(theme.PAGE_CSS)
    # A run of a fragment is not cut off by the next message. A run of the whole page is, even in a callback, and
    # what that callback had to do is lost; so the mixer belongs into a fragment.
    st.fragment(_body)()


def _body() -> None:
    import streamlit as st

    from explorer.components import declare

    query, state = st.query_params, st.session_state
    if "rows" not in state:
        state.rows = _rows_for(query)
        state.log, state.push, state.ack, state.selected = [], 0, 0, query.get("selected", state.rows[0]["name"])
        state.metrics = json.loads(json.dumps(HEADLINE["metrics"]))
    time.sleep(float(query.get("latency", 0)))

    def note(event: str) -> None:
        value = state.mixer[event]
        acknowledges = "noack" not in query
        if event != "drag" and acknowledges and value["seq"] <= state.ack:
            return  # sent twice
        state.log.append({"event": event, "value": value})
        if event == "commit":
            _apply(state.rows, value["changes"])
        if event == "select":
            state.selected = value["layer"]
        if event != "drag" and acknowledges:
            state.ack = value["seq"]

    def note_headline() -> None:
        state.log.append({"event": "headline", "value": state.head["command"]})

    st.html("<div style='height: 60px'></div>")  # where the navigation stands
    if query.get("headline"):
        with st.container(key="headline"):
            shown = HEADLINE | {
                "metrics": state.metrics,
                "form": query["headline"],
                "announce": state.get("announce", ""),
            }
            declare("headline")(data=shown, key="head", on_command_change=note_headline)
    if query.get("headline") != "slim" or "rows" in query:
        left = st.columns([1020, 420], gap=None)[0] if "panel" in query else st.container()
        with left:
            declare("mixer")(
                data=_data(state, query), key="mixer",
                on_drag_change=lambda: note("drag"), on_commit_change=lambda: note("commit"),
                on_select_change=lambda: note("select"), on_command_change=lambda: note("command"),
            )  # fmt: skip
    if "log" in query:
        _controls(st, state)


def _rows_for(query: Any) -> list[dict[str, Any]]:
    if query.get("page") == "states":
        return states()
    count = int(query.get("rows", 10))
    rows = small_model() if count == 10 else big_model(count)
    if "evil" in query:
        rows[1]["name"] = 'x"><img src=x onerror="window.hacked=1"><b id="evil">b</b>'
        rows[1]["kind"] = rows[2]["drop"]["text"] = "<b id='evil'>kind</b>"
        rows[2]["drop"]["state"], rows[2]["curve"] = "none", None
        rows[3] |= {"prunable": False, "why_not": "<b id='evil'>why</b>"}
        rows[4]["granularities"] = [{"value": 'fine_grained"><b id=evil>', "label": "</select><b id='evil'>"}]
    return rows


def _apply(rows: list[dict[str, Any]], changes: dict[str, dict[str, Any]]) -> None:
    by_name = {item["name"]: item for item in rows}
    for name, change in changes.items():
        item = by_name[name]
        item.update(change)
        if "granularity" in change:
            item["steps"] = [0, 0.5] if change["granularity"].startswith("n_m") else None
        if item["curve"]:
            value = interpolate(item["curve"]["drops"], item["sparsity"])
            item["drop"] = {"state": "est", "value": value, "half": half_of(value), "n": 0}


def _data(state: Any, query: Any) -> dict[str, Any]:
    rows = state.rows
    total = sum(item["n_weights"] for item in rows if item["prunable"])
    sparsity = sum(item["n_weights"] * item["sparsity"] for item in rows if item["prunable"]) / total
    data = {
        "signature": f"{len(rows)}", "push": state.push, "ack": state.ack, "tolerance": TOLERANCE, "rows": rows,
        "granularities": GRANULARITIES, "criteria": CRITERIA, "selected": state.selected,
        "overall": {"sparsity": sparsity, "drop": {"state": "above", "value": -3.1, "half": 1.1, "n": 2000}},
        "note": NOTE if len(rows) == 10 and "quiet" not in query else None,
        "footer": "9 batch norms follow their convolution. Nothing skipped.", "empty_curves": None,
    }  # fmt: skip
    if "noack" in query:
        del data["ack"]
    if "empty" in query:
        data["empty_curves"] = {
            "text": "No curves yet. A preview of all 10 layers takes about 6 s.",
            "action": {"label": "Preview", "command": {"kind": "preview"}},
        }
    if "height" in query:
        data["height"] = query["height"]
    return data


def _controls(st: Any, state: Any) -> None:
    """What the tests press and read; the log is one line of JSON."""

    def push() -> None:
        for item in state.rows:
            if item["prunable"] and not item["locked"]:
                item["sparsity"] = 0 if item["steps"] else 0.33
        state.push += 1
        state.log.append({"event": "push", "value": {}})

    def refresh() -> None:
        state.refreshed = state.get("refreshed", 0) + 1

    def measure() -> None:
        metric = state.metrics[0]
        metric["busy"] = not metric["busy"]
        metric["value"] = "87.5" if metric["busy"] else "88.0"
        state.announce = "Accuracy 87.5 percent"

    with st.container(horizontal=True):
        st.button("push", on_click=push)
        st.button("refresh", on_click=refresh)
        st.button("clear", on_click=lambda: state.log.clear())
        st.button("measure", on_click=measure)
    st.html(f"<pre id='log'>{json.dumps(state.log).replace('<', '&lt;')}</pre>")


# ---- for the tests ----


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def serve() -> Iterator[str]:
    """Run this page under a real Streamlit server; yields its address."""
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


def events(page_: Any, kind: str | None = None) -> list[dict[str, Any]]:
    """What Python has received."""
    text = page_.locator("#log").text_content()
    return [entry["value"] for entry in json.loads(text) if kind is None or entry["event"] == kind]


def _serve(port: int) -> None:
    from streamlit import App

    from explorer import theme

    config = {
        "server.port": port, "server.address": "127.0.0.1", "server.headless": True, "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False, "client.toolbarMode": "minimal", **theme.CONFIG,
    }  # fmt: skip
    App(Path(__file__).resolve()).run(config=config)


def _run() -> None:
    from streamlit import runtime

    if runtime.exists():  # Streamlit runs the page as `__main__` too
        page()
    else:
        _serve(int(sys.argv[-1]))


if __name__ == "__main__":
    _run()
