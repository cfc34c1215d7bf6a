"""A small app with one component of the panel each (?c=weights, ...), and what tests need to drive it in a browser.

Streamlit runs this file as the page; tests import it for its data, its fixtures and `serve`.
"""

import atexit
import json
import os
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import socket
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>'
ROOT = Path(__file__).parents[2]
GRAPH_NODES = ["stem/conv", "stem/relu", HOSTILE, "head/gemm"]


# ---- data


def weights_data(variant: str = "", *, sparsity: float = 0.6, options: dict[str, Any] | None = None) -> bytes:
    """A layer of 64 outputs and 32 inputs (3 x 3), sorted by norm; the variant changes one thing."""
    rng = np.random.default_rng(3)
    weight = (
        rng.laplace(0, 0.07, (64, 32, 3, 3))
        * rng.uniform(0.5, 1.6, (64, 1, 1, 1))
        * rng.uniform(0.5, 1.6, (1, 32, 1, 1))
    )
    options = {"view": "folded", "sorted": True, "show_mask": True, **(options or {})}
    size = np.abs(weight)
    quantiles = np.quantile(size, np.linspace(0, 1, 101))
    threshold = float(np.quantile(size, sparsity))
    kept = size > threshold if variant != "wanda" else rng.uniform(size=size.shape) + size > 0.65
    order = [np.argsort(-size.sum(axis=axes), kind="stable") for axes in ((0, 2, 3), (1, 2, 3))]
    if not options["sorted"]:
        order = [np.arange(32), np.arange(64)]
    folded = size.mean((2, 3)).T[order[0]][:, order[1]]
    share = kept.mean((2, 3)).T[order[0]][:, order[1]]
    edges = np.linspace(-0.36, 0.36, 97)
    header = {
        "layer": "layers.2.conv1" if variant != "hostile" else HOSTILE,
        "push": 0,
        **options,
        "rows": 32,
        "cols": 64,
        "cell_label": "mean size of weight",
        "cell_size": 9,
        "vmax": 0.2,
        "row_axis": "32 inputs down",
        "col_axis": "64 outputs across",
        "aggregated": None,
        "row_ids": order[0].tolist(),
        "col_ids": order[1].tolist(),
        "kernel": kernel_of(weight[41, 12], kept[41, 12]),
        "histogram": {
            "counts": np.histogram(weight, edges)[0].tolist(),
            "pruned": np.histogram(weight[~kept], edges)[0].tolist(),
            "low": -0.36,
            "high": 0.36,
            "threshold": None if variant == "wanda" else threshold,
            "abs_sorted_quantiles": quantiles.tolist(),
        },
        "sparsity": round(float(1 - kept.mean()), 3),
        "pruned_by": {"wanda": "Wanda", "hostile": HOSTILE}.get(variant, "Magnitude"),
        "draggable": variant != "locked",
    }
    if variant == "hostile":
        header["kernel"]["title"] = HOSTILE
        header["histogram"]["threshold"] = None
    if variant == "large":
        header["kernel"]["values"] = [-0.3, 1.16, -12.4, *header["kernel"]["values"][3:]]
    if variant == "aggregated":
        header |= {
            "aggregated": "Each cell is the mean of 4 x 6 weights; 392 x 3136 shown as 98 x 523.",
            "cell_size": 24,
        }
        folded, share = rng.uniform(0, 0.2, (98, 523)), rng.uniform(0, 1, (98, 523))
        header |= {"rows": 98, "cols": 523, "row_ids": list(range(0, 392, 4)), "col_ids": list(range(0, 3138, 6))}
    if options["view"] == "kernels":  # the 24 largest of each side, each weight its own cell
        chosen = [
            values[order[1][:24]][:, order[0][:24]].transpose(1, 2, 0, 3).reshape(72, 72) for values in (size, kept)
        ]
        folded, share = chosen[0], chosen[1].astype(float)
        header |= {"rows": 72, "cols": 72, "cell_size": 1, "cell_label": "size of weight"}
        header |= {"row_ids": order[0][:24].repeat(3).tolist(), "col_ids": order[1][:24].repeat(3).tolist()}
    if variant == "linear":
        folded, share = np.abs(weight[:10, :, 0, 0]).T, kept[:10, :, 0, 0].T
        header |= {"rows": 32, "cols": 10, "row_ids": None, "col_ids": None, "sorted": False, "views": ["folded"]}
        header |= {"cell_size": 1, "cell_label": "size of weight", "col_axis": "10 outputs across", "kernel": None}
    return pack(header, folded, share)


def kernel_of(values: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    return {
        "title": "Output 41, input 12",
        "detail": f"{int(kept.sum())} of 9 kept",
        "row": 12,
        "col": 41,
        "shape": [3, 3],
        "values": values.ravel().tolist(),
        "kept": kept.ravel().tolist(),
    }


def pack(header: dict[str, Any], magnitude: np.ndarray, share: np.ndarray) -> bytes:
    head = json.dumps(header).encode()
    body = (
        (np.clip(magnitude / header["vmax"], 0, 1) * 255).round().astype("uint8"),
        (share * 255).round().astype("uint8"),
    )
    return struct.pack("<I", len(head)) + head + body[0].tobytes() + body[1].tobytes()


def activations_data(variant: str = "") -> dict[str, Any]:
    rng = np.random.default_rng(5)
    names = ["stem.0", *(f"layers.{i}.{k}" for i in range(3) for k in ("conv1", "conv2")), "fc"]
    if variant == "many":
        names = [f"encoder.layers.{i}.mlp.0" for i in range(40)]
    layers = []
    for i, name in enumerate(names):
        channels = 16 * 2 ** min(i // 2, 3) if variant != "many" else 3072
        zeros = np.clip(rng.normal(0.25 + 0.05 * i % 0.6, 0.16, channels), 0, 0.995)
        dead = [4, 17, 60] if name == "layers.2.conv1" else []
        zeros[dead] = 1
        if name == "fc":
            zeros[:] = 0
        found = {"zeros": zeros.round(4).tolist(), "overall": float(zeros.mean()), "dead": dead}
        layers.append({"name": name, "channels": channels, "has_relu": name != "fc", **found})
    if variant == "hostile":
        layers[1]["name"] = HOSTILE
    selected = names[-1] if variant == "many" else "layers.2.conv1"
    return {"layers": [] if variant == "empty" else layers, "selected": selected, "n": 512}


LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
DROPS = {
    "stem.0": [-0.1, -6.85, -1.5, -9.7, -48.8, -55.8, -49.55, -71.15, -79.45, -81.35],
    "layers.0.conv1": [-0.2, -0.15, -0.35, -0.5, -1.35, -2.65, -7.75, -29.15, -72.0, -81.35],
    "layers.0.conv2": [-0.1, -0.2, 0.1, -0.5, -2.0, -1.8, -3.8, -4.8, -22.0, -69.0],
    "layers.1.conv1": [0.1, 0.0, 0.1, -0.2, -1.2, -2.7, -6.1, -14.0, -41.0, -53.0],
    "layers.1.conv2": [-0.2, 0.1, -0.4, -0.99, -1.4, -4.1, -12.0, -28.0, -72.0, -74.0],
    "layers.1.down.0": [-0.1, -0.1, -0.2, -0.8, -2.1, -2.9, -4.3, -8.1, -9.1, -13.0],
    "layers.2.conv1": [-0.1, 0.0, 0.1, 0.0, -0.4, -0.6, -1.8, -9.5, -53.0, -65.0],
    "layers.2.conv2": [0.0, 0.0, 0.1, 0.0, -0.1, -1.2, -2.5, -4.7, -12.0, -16.0],
    "layers.2.down.0": [-0.1, 0.1, 0.1, 0.1, 0.1, -0.2, -0.4, -1.0, -1.8, -3.1],
    "fc": [-0.1, -0.3, -0.6, -0.5, -1.8, -1.5, -4.0, -11.0, -40.0, -49.0],
}


ACCURACY = {"label": "Change of accuracy", "unit": "pt", "dense": 0, "large": 40, "higher_is_better": True}
KL = {"label": "KL divergence", "unit": "nats", "dense": 0, "large": 2, "higher_is_better": False}


def sweep_data(variant: str = "", chosen: list[str] | None = None) -> dict[str, Any]:
    from explorer.theme import DAMAGE

    names = (
        [f"encoder.layers.{i}.{k}" for i in range(50) for k in ("attn", "fc1", "fc2")]
        if variant == "many"
        else list(DROPS)
    )
    rows = []
    for r, name in enumerate(names):
        cells = []
        for c, level in enumerate(LEVELS):
            at = r * len(LEVELS) + c
            state = "done" if at < 72 or variant == "many" else "running" if at == 72 else "preview"
            value = DROPS.get(name, DROPS["layers.1.conv1"])[c]
            n = 2000 if state == "done" else 64
            half = round(0.18 + 0.32 * abs(value) ** 0.5, 2)
            counted = {"n": n, "total": 2000, "state": state, "text": None}
            cells.append({"level": level, "value": value, "half": half, **counted})
        limit = next((lv for lv, cell in zip(LEVELS, cells, strict=True) if cell["value"] < -1), 1.0) - 0.04
        share = 0.003 if r == 0 else 0.01 + 0.05 * (r % 7)
        preview = r >= 7 and variant != "many"
        rows.append({"name": name, "share_params": share, "cells": cells, "limit": limit, "limit_preview": preview})
    if variant == "hostile":
        rows[2]["name"] = HOSTILE
        rows[2]["cells"][0]["text"] = HOSTILE
    if variant == "states":
        rows[1]["cells"] = [{**cell, "state": "none", "value": None, "half": None, "n": 0} for cell in rows[1]["cells"]]
        rows[1]["limit"] = None
        rows[2]["cells"][3] |= {"state": "not_possible", "value": None, "text": "2:4 has one level only"}
        rows[3]["cells"][1] |= {"state": "bracketed"}
    if variant == "kl":
        rows[0]["cells"][0] |= {"value": 0.0234, "half": 0.0051}
        rows[0]["cells"][1] |= {"value": 2.0, "half": 0.25}
    return {
        "signature": "sweep-1",
        "levels": LEVELS,
        "tolerance": 1.0,
        "metric": KL if variant == "kl" else ACCURACY,
        "rows": rows,
        "chosen": ["layers.1.conv1", "layers.1.down.0", "layers.2.conv1"] if chosen is None else chosen,
        "scale": DAMAGE,
        "plan": {"layers.1.conv1": 0.48, "layers.2.conv1": 0.62, "fc": 0},
    }


def graph_file() -> Path:
    """A chain of four named nodes; one name is HTML."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), "float32"), "stem.weight")
    last = numpy_helper.from_array(np.ones((4, 2), "float32"), "head.weight")
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight"], ["a"], GRAPH_NODES[0]),
        helper.make_node("Relu", ["a"], ["b"], GRAPH_NODES[1]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], GRAPH_NODES[2]),
        helper.make_node("Gemm", ["c", "head.weight"], ["y"], GRAPH_NODES[3]),
    ]
    tensor = helper.make_tensor_value_info
    inputs, outputs = [tensor("x", TensorProto.FLOAT, [1, 3, 8, 8])], [tensor("y", TensorProto.FLOAT, [1, 2])]
    path = Path(gettempdir()) / f"harness_panel_{os.getpid()}.onnx"
    save(helper.make_model(helper.make_graph(nodes, "tiny", inputs, outputs, [weight, last])), path)
    return path


# ---- the page


def note(component: str, event: str) -> Any:
    def keep() -> None:
        state = st.session_state[component]
        st.session_state.setdefault("events", []).append([event, getattr(state, event)])

    return keep


def events(component: str, *names: str) -> dict[str, Any]:
    return {f"on_{name}_change": note(component, name) for name in names}


def page() -> None:
    from explorer import netron
    from explorer.components import declare

    st.set_page_config(layout="wide")
    name, variant = st.query_params.get("c", "weights"), st.query_params.get("v", "")
    width = int(st.query_params.get("w", "384"))
    log = st.session_state.get("events", [])
    last = {event: value for event, value in log if value is not None}
    with st.container(width=width, key="here"):
        if name == "weights":
            sparsity = (last.get("commit") or {}).get("sparsity", 0.6)
            data: Any = weights_data(variant, sparsity=sparsity, options=last.get("options"))
            declare(name)(key=name, data=data, **events(name, "cell", "options", "drag", "commit"))
        elif name == "activations":
            declare(name)(key=name, data=activations_data(variant), **events(name, "select"))
        elif name == "sweep":
            chosen = (last.get("curves") or {}).get("chosen")
            declare(name)(key=name, data=sweep_data(variant, chosen), **events(name, "set", "curves"))
        else:
            if "token" not in st.session_state:
                st.session_state.token = netron.publish(graph_file())
            selected = (last.get("node") or {}).get("name")
            colors = {
                GRAPH_NODES[0]: "#13246e" if st.toggle("recolour") else "#cbd8f9",
                GRAPH_NODES[2]: "#bad",
                GRAPH_NODES[3]: 4 / 9,
            }
            captions = [{"color": "#13246e", "text": HOSTILE}, {"color": "#cbd8f9", "text": "0 % pruned"}]
            data = {"src": netron.address(st.session_state.token), "height": 620, "colors": colors}
            data |= {"captions": captions, "selected_node": selected}
            declare(name)(key=name, data=data, **events(name, "node"))
            if st.button("revoke"):
                netron.revoke(st.session_state.token)
    st.text(f"EVENTS {json.dumps(log)}")


# ---- fixtures


def serve(port: int) -> None:
    from explorer import netron, theme

    app = st.App(Path(__file__).resolve(), routes=netron.ROUTES)
    options = {
        "server.port": port,
        "server.headless": True,
        "server.address": "127.0.0.1",
        "server.fileWatcherType": "none",
    }
    app.run(config={**theme.CONFIG, **options, "browser.gatherUsageStats": False, "client.toolbarMode": "minimal"})


@cache
def start_server() -> str:
    """Start the app once for all test files; it ends with the test process."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(ROOT), str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {paths!r}; import harness_panel; harness_panel.serve({port})"
    with (Path(gettempdir()) / f"harness_panel_{os.getpid()}.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=log, stderr=log)
    atexit.register(server.terminate)
    for _ in range(120):
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
            return f"http://127.0.0.1:{port}"
        time.sleep(0.5)
    raise TimeoutError("the harness did not start")


@pytest.fixture(scope="module")
def panel_server() -> str:
    return start_server()


# One Playwright at a time can run in a process, so it is closed with each test file.
@pytest.fixture(scope="module")
def panel_browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


class Shown:
    """One component in a fresh browser page; notes requests to other hosts, dialogs and page errors."""

    def __init__(
        self,
        browser: Any,
        server: str,
        component: str,
        variant: str = "",
        *,
        width: int = 384,
        scheme: str = "light",
        theme: str = "",
    ):
        """`scheme` is the system's; `theme` ("Light", "Dark") is what the user chose in Streamlit's menu."""
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
        if theme:
            self.context.add_init_script(f"localStorage.setItem('stActiveTheme-/-v2', '\"{theme}\"')")
        self.page = self.context.new_page()
        self.foreign: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{server}/?c={component}&v={variant}&w={width}")
        self.root = self.page.locator(f".{ {'activations': 'acts'}.get(component, component) }")
        self.root.wait_for(timeout=60_000)

    def _note_request(self, request: Any) -> None:
        self.requests.append(request.url)
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            self.foreign.append(request.url)

    def events(self, name: str) -> list[Any]:
        """All values of one event that reached Python so far."""
        text = self.page.get_by_text("EVENTS ").inner_text()
        return [
            value for event, value in json.loads(text.removeprefix("EVENTS ")) if event == name and value is not None
        ]

    def wait_for(self, name: str, seconds: float = 15) -> Any:
        """The last value of the event, once one has reached Python."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if values := self.events(name):
                return values[-1]
            self.page.wait_for_timeout(100)
        raise AssertionError(f"no event {name!r}")

    def pixel(self, x: float, y: float) -> tuple[int, ...]:
        """RGB of the canvas at a point given in CSS pixels."""
        script = """(canvas, [x, y]) => { const ratio = canvas.width / canvas.clientWidth;
            return [...canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3); }"""
        return tuple(self.root.locator("canvas").evaluate(script, [x, y]))


@pytest.fixture(name="show")
def show_fixture(panel_server: str, panel_browser: Any) -> Iterator[Any]:
    opened: list[Shown] = []

    def open_component(component: str, variant: str = "", **options: Any) -> Shown:
        opened.append(Shown(panel_browser, panel_server, component, variant, **options))
        return opened[-1]

    yield open_component
    for shown in opened:
        assert not shown.foreign, shown.foreign
        assert not shown.dialogs, shown.dialogs
        assert not shown.errors, shown.errors
        shown.context.close()


if get_script_run_ctx(suppress_warning=True) is not None:
    page()
