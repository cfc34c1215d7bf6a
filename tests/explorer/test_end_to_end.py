"""The app as a user meets it: the command starts it, Chromium shows it, nothing leaves the machine."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

import sample_models
from explorer.state import ExplorerState, from_link, to_link
from pruning_core.plan import Plan

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
COMMAND = str(Path(sys.executable).with_name("pruning-explorer"))
LENET = "lenet_300_100"
WAIT = 90_000  # ms; the machine may be busy
ALL_MEASURED = re.compile(r"n 2,000")
expect.set_options(timeout=WAIT)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("server")
    log = (folder / "log").open("w")
    own = os.environ | {"PRUNING_EXPLORER_DATA": str(folder)}  # the user's sweeps are not those of the tests
    words = [COMMAND, "run", LENET, "--no-browser", "--port", str(port)]
    process = subprocess.Popen(words, stdout=log, stderr=log, env=own)
    for _ in range(240):
        assert process.poll() is None, Path(log.name).read_text()
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/api/health", timeout=1).read()
            break
        time.sleep(0.5)
    yield address
    process.terminate()
    assert process.wait(30) is not None
    assert "Traceback" not in Path(log.name).read_text()
    log.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="open_app")
def open_app_fixture(server: str, chromium: Any) -> Iterator[Open]:
    """Open the app in a fresh context; at the end nothing foreign was asked for and nothing went wrong."""
    contexts, wrong = [], []

    def watch(page: Page) -> None:
        page.on("request", lambda request: None if at_home(request.url) else wrong.append(f"asked {request.url}"))
        page.on("pageerror", lambda error: wrong.append(f"page error {error}"))
        page.on("console", lambda message: wrong.append(message.text) if is_error(message) else None)

    def at_home(url: str) -> bool:
        return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))

    def open_(model: str = LENET, *, path: str = "", height: int = 900, scheme: str = "light", **layers: Any) -> Page:
        context = chromium.new_context(
            viewport={"width": 1440, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        context.on("page", watch)
        contexts.append(context)
        page: Page = context.new_page()
        page.goto(path or server + "/?s=" + link(model, **layers))
        expect(page.locator("section.head")).to_be_visible()
        return page

    yield open_
    for context in contexts:
        for page in context.pages:
            assert page.get_by_test_id("stException").count() == 0
            assert page.get_by_role("dialog").filter(visible=True).all_inner_texts() == []
        context.close()
    assert not wrong


def is_error(message: Any) -> bool:
    """Streamlit itself looks for its health at a deep link's own path first."""
    return message.type == "error" and "/_stcore/" not in message.location["url"]


def link(model: str, **layers: Any) -> str:
    plan = Plan().with_layers(layers)
    return to_link(ExplorerState(model=model, data=sample_models.SAMPLES[model].dataset, plan=plan))


def plan_of(page: Page) -> Plan:
    return from_link(page.url.split("s=")[1].split("&")[0]).plan


def metric(page: Page, name: str) -> Locator:
    return page.locator(f"section.head .metric.{name}")


def row(page: Page, layer: str) -> Locator:
    return page.locator(f'.mixer .rw[data-layer="{layer}"]')


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.locator("section.head")).to_be_visible()


def all_measured(page: Page) -> None:
    expect(metric(page, "accuracy").locator(".how")).to_have_text(ALL_MEASURED)


# ---- a: samples


@pytest.mark.parametrize("model", sample_models.SAMPLES)
def test_a_sample_opens_and_its_accuracy_is_measured_on_all_examples(open_app: Open, model: str) -> None:
    page = open_app(model)
    all_measured(page)
    accuracy = float(metric(page, "accuracy").locator(".big").inner_text().removesuffix("%"))
    assert 85 < accuracy <= 100
    assert metric(page, "accuracy").locator(".ci").inner_text().startswith("± ")
    assert page.locator(".mixer .rw[data-layer]").count() >= 3


# ---- c: sliders


def drag(page: Page, slider: Locator, share: float) -> None:
    """Press the slider's thumb and pull it to `share` of the track; the button stays down."""
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    for k in range(1, 11):
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * share * k / 10, y)
        page.wait_for_timeout(30)


def test_a_drag_shows_sizes_at_once_and_accuracy_after_release_in_one_step_of_undo(open_app: Open) -> None:
    page = open_app()
    all_measured(page)
    undo, redo = (page.locator(f"section.head [data-do={name}]") for name in ("undo", "redo"))
    expect(undo).to_be_disabled()
    drag(page, row(page, "fc1").locator(".range"), 0.8)
    expect(metric(page, "size").locator(".chg")).to_have_text(re.compile("^−"))
    expect(metric(page, "accuracy").locator(".how")).to_have_text("measured on release")
    assert undo.is_disabled(), "nothing is committed while the thumb is held"
    page.mouse.up()
    expect(metric(page, "accuracy").locator(".chg")).to_have_text(re.compile(r"[−+0].* pt$"))
    all_measured(page)
    assert metric(page, "accuracy").locator(".ci").inner_text().startswith("± ")
    moved = plan_of(page).layer("fc1").sparsity
    assert 0.7 < moved < 0.9
    page.keyboard.press("Control+z")
    expect(row(page, "fc1").locator(".pct input")).to_have_value("0 %")
    expect(undo).to_be_disabled()
    expect(metric(page, "size").locator(".chg")).to_have_text("")
    page.keyboard.press("Control+Shift+Z")
    expect(redo).to_be_disabled()
    expect(row(page, "fc1").locator(".pct input")).to_have_value(f"{round(100 * moved)} %")
    assert plan_of(page).layer("fc1").sparsity == moved


def test_arrow_keys_move_a_slider_in_one_step_of_undo_for_each_press(open_app: Open) -> None:
    page = open_app()
    all_measured(page)
    row(page, "fc2").locator(".range").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(row(page, "fc2").locator(".pct input")).to_have_value("5 %")
    page.keyboard.press("ArrowRight")
    expect(row(page, "fc2").locator(".pct input")).to_have_value("6 %")
    all_measured(page)
    page.keyboard.press("Control+z")
    expect(row(page, "fc2").locator(".pct input")).to_have_value("5 %")
    page.keyboard.press("Control+z")
    expect(row(page, "fc2").locator(".pct input")).to_have_value("0 %")


# ---- d: granularities


def test_a_pattern_sets_its_share_and_what_does_not_fit_says_why(open_app: Open) -> None:
    page = open_app("resnet_fashion")
    page.locator(".mixer").wait_for()
    conv = row(page, "layers.1.conv1")
    conv.locator(".gran select").select_option(label="2:4")
    expect(conv.locator(".pct input")).to_have_value("50 %")
    refused = row(page, "conv1").locator(".gran option").filter(has_text=re.compile(r"^2:4 · "))
    expect(refused).to_be_disabled()
    assert len(refused.inner_text()) > len("2:4 · ")
    wish = plan_of(page).layer("layers.1.conv1")
    assert (wish.granularity, wish.sparsity) == ("n_m", 0.5)


# ---- e: link


def test_layers_that_lose_the_same_channels_move_as_one_and_leave_the_model(open_app: Open) -> None:
    page = open_app("resnet_fashion")
    members = ["layers.1.conv2", "layers.1.shortcut.0", "layers.2.conv2"]
    row(page, members[0]).locator(".gran select").select_option(label="Channel")
    expect(page.locator(".mixer .badge.on")).to_have_count(len(members))
    row(page, members[2]).locator(".pct input").fill("50")
    page.keyboard.press("Enter")
    for name in members:
        expect(row(page, name).locator(".pct input")).to_have_value("50 %")
    expect(metric(page, "flops").locator(".how")).to_have_text("slimmed · masked 33.1 M")
    all_measured(page)
    plan = plan_of(page)
    assert {name for name, wish in plan.layers.items() if wish.sparsity} == set(members)
    metric(page, "latency").get_by_role("button", name="Measure").click()
    expect(metric(page, "latency").locator(".how")).to_have_text(re.compile(r"slimmed · masked \d\.\d\d ms"))
    go(page, "Export")
    page.get_by_role("button", name="Make the files").click()
    expect(page.get_by_text("answers as the masked one does")).to_be_visible()
    expect(page.get_by_role("button", name="slimmed.safetensors")).to_be_visible()
    go(page, "Explore")
    page.get_by_role("button", name="Undo").click()
    expect(metric(page, "flops").locator(".how")).to_have_text("as run")
    assert plan_of(page).layer(members[1]).sparsity == 0


def test_a_link_opens_the_same_plan_in_another_browser(open_app: Open) -> None:
    page = open_app(fc1={"sparsity": 0.37}, fc2={"granularity": "n_m", "sparsity": 0.5, "settings": {"n": 2, "m": 4}})
    expect(row(page, "fc1").locator(".pct input")).to_have_value("37 %")
    row(page, "fc3").locator(".pct input").fill("12")
    page.keyboard.press("Enter")
    expect(page.locator("section.head [data-do=undo]")).to_be_enabled()
    other = open_app(path=page.url)
    for layer, shown in (("fc1", "37 %"), ("fc2", "50 %"), ("fc3", "12 %")):
        expect(row(other, layer).locator(".pct input")).to_have_value(shown)
    expect(row(other, "fc2").locator(".gran select")).to_have_value("n_m?m=4&n=2")


def test_every_page_keeps_the_plan_in_its_address(open_app: Open) -> None:
    page = open_app(fc1={"sparsity": 0.37})
    for name in ("Sensitivity", "Export"):
        go(page, name)
        expect(page).to_have_url(re.compile(rf"/{name.lower()}\?s="))
        assert plan_of(page).layer("fc1").sparsity == 0.37
        page.reload()
        expect(page.locator("section.head [data-do=undo]")).to_be_visible()
        expect(metric(page, "size")).to_contain_text("−")


def test_a_click_on_another_page_counts_while_accuracy_is_being_measured(open_app: Open) -> None:
    page = open_app("mobilenet_fashion", fc={"sparsity": 0.3})
    shown = {"Sensitivity": "How much can each layer lose?", "Export": "Take it with you", "Explore": "Drop alone"}
    for k, name in enumerate(["Sensitivity", "Export", "Explore"] * 2):
        page.wait_for_timeout(130 * k)
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_text(shown[name]).first).to_be_visible(timeout=20_000)


# ---- b, g: sweeps


def cells(page: Page) -> Locator:
    return page.locator(".sweep .cell.done, .sweep .cell.preview")


def test_a_sweep_is_seen_in_a_second_tab_survives_a_reload_and_sets_a_layer(open_app: Open) -> None:
    page = open_app()
    go(page, "Sensitivity")
    expect(page.get_by_text("A sweep of all 3 layers takes about")).to_be_visible()
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(cells(page).first).to_be_visible()
    second = page.context.new_page()
    second.goto(page.url)
    expect(cells(second).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^30 cells in .*\. Kept for next time\."))).to_be_visible()
    expect(page.locator(".sweep .cell.done, .sweep .cell.bracketed")).to_have_count(30)
    page.reload()
    expect(page.locator(".sweep .cell.done, .sweep .cell.bracketed")).to_have_count(30)
    assert re.fullmatch(r"[−+]?\d+(\.\d)?", cells(page).first.locator("text").first.text_content() or "")
    assert re.fullmatch(r"±\d+(\.\d)?", cells(page).first.locator("text.half").text_content() or "")
    page.locator('.sweep [data-row="1"][data-col="4"]').click()
    expect(page.locator("section.head [data-do=undo]")).to_be_enabled()
    go(page, "Explore")
    expect(row(page, "fc2").locator(".pct input")).to_have_value("50 %")
    expect(page.locator(".panel .name")).to_have_text("fc2")
    expect(row(page, "fc2").locator(".chart svg")).to_be_visible()


def test_limits_become_a_plan_whose_joint_drop_is_measured(open_app: Open) -> None:
    page = open_app()
    go(page, "Sensitivity")
    page.get_by_role("button", name=re.compile("^Sweep")).click()
    expect(page.get_by_text(re.compile(r"^30 cells in"))).to_be_visible()
    page.get_by_role("button", name="Use these limits as a plan").click()
    expect(page.get_by_text(re.compile(r"All limits at once give [−+]?\d+\.\d ± \d+\.\d pt, n "))).to_be_visible()
    expect(metric(page, "accuracy").locator(".chg")).to_have_text(re.compile(r" ± .* pt$"))
    go(page, "Explore")
    shown = {name: row(page, name).locator(".pct input").input_value() for name in ("fc1", "fc2", "fc3")}
    assert all(int(text.removesuffix(" %")) > 5 for text in shown.values())


def test_a_cancelled_sweep_keeps_its_cells_and_goes_on_where_it_was(open_app: Open) -> None:
    page = open_app("guide_cnn")
    go(page, "Sensitivity")
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.get_by_text(re.compile(r"Measuring .* cells · about .* left"))).to_be_visible()
    second = page.context.new_page()
    second.goto(page.url)
    expect(second.get_by_role("button", name="Model CNN of the pruning guides")).to_be_visible()
    expect(second.get_by_text(re.compile(r"cells · about .* left"))).to_be_visible()
    expect(cells(page).first).to_be_visible()
    page.get_by_role("button", name="Cancel").dispatch_event("click")
    for tab in (page, second):
        expect(tab.get_by_text(re.compile(r"^Stopped at \d+ of \d+ cells\. They are kept\."))).to_be_visible()
    assert cells(page).count() > 0
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page.get_by_text(re.compile(r"^40 cells in .*\. Kept for next time\."))).to_be_visible()
    expect(page.locator(".sweep .cell.preview")).to_have_count(0)
    expect(page.locator(".sweep .cell.bracketed").first).to_be_visible()
    page.get_by_role("combobox", name=re.compile("Metric")).click()
    page.get_by_role("option", name=re.compile("KL divergence")).click()
    expect(page.locator(".sweep .cell.done").first).to_have_attribute("aria-label", re.compile(" nats, n "))


def test_layers_are_measured_together_and_in_pairs(open_app: Open) -> None:
    page = open_app()
    go(page, "Sensitivity")
    page.get_by_role("button", name=re.compile("^(Sweep|Sweep again)$")).click()
    expect(page.get_by_text(re.compile(r"^30 cells in"))).to_be_visible()
    page.get_by_role("button", name="Use these limits as a plan").click()
    page.get_by_text(re.compile("Together: do single drops add up.* 3 pruned rows")).click()
    page.get_by_role("button", name="Measure alone and together").click()
    expect(page.get_by_text(re.compile("points of accuracy together"))).to_be_visible()
    page.get_by_role("button", name="Measure 3 pairs").click()
    expect(page.locator(".st-key-pairs_map .plot-container")).to_be_visible()
    page.get_by_text("Guesses without data").click()
    page.get_by_role("button", name="Judge the guesses").click()
    expect(page.get_by_text(re.compile("Spearman's rank correlation"))).to_be_visible()


# ---- f, k: the selected layer


def test_the_graph_has_nodes_and_a_click_on_one_selects_its_layer(open_app: Open) -> None:
    page = open_app()
    page.get_by_role("tab", name="Graph").click()
    nodes = page.frame_locator('iframe[title="Model graph (Netron)"]').locator("g.node")
    expect(nodes.first).to_be_visible()
    assert nodes.count() >= 3
    expect(page.locator(".panel .name")).to_have_text("fc1")
    nodes.filter(has_text="Gemm").last.click()
    expect(page.locator(".panel .name")).to_have_text("fc3")
    expect(row(page, "fc3")).to_have_class(re.compile(r"\bsel\b"))


def test_dragging_the_threshold_sets_a_sparsity(open_app: Open) -> None:
    page = open_app()
    all_measured(page)
    handle = page.locator(".weights .hist .handle.right .hit").bounding_box()
    area = page.locator(".weights .hist").bounding_box()
    assert handle
    assert area
    y = area["y"] + area["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    for k in range(1, 6):
        page.mouse.move(handle["x"] + handle["width"] / 2 + k * area["width"] / 40, y)
    page.mouse.up()
    expect(page.locator("section.head [data-do=undo]")).to_be_enabled()
    sparsity = plan_of(page).layer("fc1").sparsity
    assert 0 < sparsity < 1
    expect(row(page, "fc1").locator(".pct input")).not_to_have_value("0 %")
    expect(page.locator(".panel .tag")).to_have_text(re.compile(r"% pruned$"))


# ---- i: latency


def test_latency_is_measured_on_request_and_stands_beside_its_null(open_app: Open) -> None:
    page = open_app(fc1={"sparsity": 0.5})
    expect(metric(page, "latency").locator(".how")).to_have_text("not measured for this plan")
    metric(page, "latency").get_by_role("button", name="Measure").click()
    expect(metric(page, "latency").locator(".how")).to_have_text("ONNX Runtime, 1 thread, batch 1")
    expect(metric(page, "latency").locator(".chg")).to_have_text(re.compile(r"^no difference$|^[−+]\d+\.\d %$"))
    expect(metric(page, "latency").locator(".glyph .zone")).to_have_count(1)
    assert float(metric(page, "latency").locator(".big").inner_text().removesuffix("ms")) > 0


# ---- h: export


def download(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).click()
    found.value.save_as(folder / name)
    return folder / name


def test_the_files_repeat_the_figures_on_the_command_line_and_on_their_own(open_app: Open, tmp_path: Path) -> None:
    page = open_app(fc1={"sparsity": 0.9}, fc2={"granularity": "n_m", "sparsity": 0.5})
    go(page, "Export")
    page.get_by_role("button", name="Make the files").click()
    expect(page.get_by_text(re.compile("On 10,000 test examples: accuracy"))).to_be_visible()
    files = "plan.json masked.safetensors load_pruned.py report.json".split()
    plan, _, script, report = (download(page, name, tmp_path) for name in files)
    shown = json.loads(report.read_text())
    words = [COMMAND, "prune", LENET, "--plan", str(plan), "--out", str(tmp_path / "again"), "--json"]
    again = json.loads(subprocess.run(words, capture_output=True, check=True, timeout=300).stdout)
    for side in ("dense", "masked"):
        assert again[side]["accuracy"] == shown[side]["accuracy"]
        assert again[side]["nonzero_params"] == shown[side]["nonzero_params"]
    expect(page.get_by_text(f"{100 * shown['masked']['accuracy']:.2f} %").first).to_be_visible()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {script.stem} as m; "
        "model = m.load(); print(sum(int((p == 0).sum()) for p in model.parameters()))"
    )
    alone = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=300, text=True)
    assert alone.returncode == 0, alone.stderr
    zeros = shown["masked"]["params"] - shown["masked"]["nonzero_params"]
    assert int(alone.stdout) == zeros


# ---- j: look


def test_the_headline_stays_at_the_top(open_app: Open) -> None:
    page = open_app("mobilenet_fashion", height=500)
    page.locator(".mixer").wait_for()
    scroller = page.get_by_test_id("stMain")
    before = scroller.evaluate("main => main.scrollTop")
    scroller.evaluate("main => main.scrollTo(0, 300)")
    page.wait_for_timeout(300)
    moved = scroller.evaluate("main => main.scrollTop") - before
    assert moved > 100, "the page is longer than the window"
    header, head = page.get_by_test_id("stHeader").bounding_box(), page.locator("section.head").bounding_box()
    assert header
    assert head
    assert head["y"] == pytest.approx(header["y"] + header["height"], abs=1)


@pytest.mark.parametrize(("scheme", "low", "high"), [("dark", 0, 60), ("light", 200, 255)])
def test_the_page_follows_the_system_into_the_dark(open_app: Open, scheme: str, low: int, high: int) -> None:
    page = open_app(scheme=scheme)
    page.locator(".mixer").wait_for()
    for place in (page.get_by_test_id("stApp"), page.get_by_test_id("stHeader")):
        color = place.evaluate("element => getComputedStyle(element).backgroundColor")
        channels = [float(part) for part in re.findall(r"[\d.]+", color)]
        if len(channels) == 4 and channels[3] == 0:
            continue  # see-through
        assert all(low <= part <= high for part in channels[:3]), color
    ink = page.locator(".mixer .nm").first.evaluate("element => getComputedStyle(element).color")
    assert all((part > 128) == (scheme == "dark") for part in map(float, re.findall(r"\d+", ink)[:3])), ink


# ---- k: fit to budget


def test_a_plan_is_fitted_to_a_size_and_used_in_one_step_of_undo(open_app: Open) -> None:
    page = open_app()
    all_measured(page)
    page.get_by_role("button", name="Fit to budget").click()
    dialog = page.get_by_role("dialog").filter(visible=True)
    expect(dialog.get_by_text("Fit to budget")).to_be_visible()
    dialog.get_by_label("Limit", exact=True).click()
    page.get_by_role("option", name="Size", exact=True).click()
    start = page.locator(".st-key-fit_start_limit button")
    expect(start).to_have_text(re.compile("(Measure curves, then fit|Fit)$"))
    expect(page.locator(".st-key-fit_value_limit_size_--of-dense input")).to_have_value("50")
    start.click()
    expect(dialog.get_by_text("Least drop, size at most 50 % of dense")).to_be_visible()
    figures = dialog.get_by_test_id("stMetricValue")
    expect(figures.nth(1)).to_have_text(re.compile(r"[−+]?\d+\.\d ± \d+\.\d pt"))
    fitted = figures.nth(2).inner_text()
    page.get_by_role("button", name="Use this plan").click()
    expect(dialog).to_have_count(0)
    expect(metric(page, "size").locator(".big")).to_have_text(re.compile(re.escape(fitted.split()[0])))
    assert any(wish.sparsity > 0 for wish in plan_of(page).layers.values())
    all_measured(page)
    page.keyboard.press("Control+z")
    expect(metric(page, "size").locator(".chg")).to_have_text("")
    assert all(wish.sparsity == 0 for wish in plan_of(page).layers.values())


def test_all_allocations_stand_beside_their_plot_and_closing_changes_nothing(open_app: Open) -> None:
    page = open_app()
    all_measured(page)
    page.get_by_role("button", name="Fit to budget").click()
    dialog = page.get_by_role("dialog").filter(visible=True)
    dialog.get_by_role("radio", name="Sparsity").click()
    page.locator(".st-key-fit_start_compare button").click()
    uses = page.locator(".st-key-fit_table").get_by_role("button", name="Use")
    expect(uses).to_have_count(7)
    lines = page.locator(".st-key-fit_compare .ygrid")
    expect(lines).to_have_count(7)
    page.wait_for_timeout(500)
    centres = [box["y"] + box["height"] / 2 for use in uses.all() if (box := use.bounding_box())]
    drawn = sorted(box["y"] + box["height"] / 2 for line in lines.all() if (box := line.bounding_box()))
    assert drawn == pytest.approx(centres, abs=3), "each allocation's figures stand beside its marks"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert all(wish.sparsity == 0 for wish in plan_of(page).layers.values())
    page.get_by_role("button", name="Fit to budget").click()
    expect(uses).to_have_count(7)  # what was found is still there
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
