"""A server for a class, as visitors meet it: the token, files of their own, files that are refused, names that bite."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect, sync_playwright
from safetensors.torch import save_file

import pruning_core as pc
import sample_models
from explorer import visitors
from pruning_core.onnx_export import to_onnx
from tests.explorer.hostile import NAMES
from tests.explorer.payloads import PAYLOADS

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
COMMAND = str(Path(sys.executable).with_name("pruning-explorer"))
TOKEN = "correct horse battery"
HOSTILE = "tests.explorer.hostile:build"
ROOT = Path(__file__).parents[2]
LENET = "lenet_300_100"
WAIT = 90_000  # ms; the machine may be busy
expect.set_options(timeout=WAIT)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What visitors bring: a model as ONNX and as a state dict, data, and files that are refused."""
    folder = tmp_path_factory.mktemp("files")
    model, arrays = pc.load_model(LENET), sample_models.load_arrays("mnist")
    (folder / "digits.onnx").write_bytes(to_onnx(model.module, model.example_inputs))
    pixels = (arrays["x_test"][:400, None].astype(np.float32) / 255 - 0.1307) / 0.3081
    np.savez(folder / "digits.npz", x=pixels, y=arrays["y_test"][:400])
    save_file(model.module.state_dict(), folder / "digits.safetensors")
    save_file({name: torch.zeros(2) for name in PAYLOADS if len(name) < 1000}, folder / "named.safetensors")
    torch.save(model.module, folder / "whole.pt")
    (folder / "cut.onnx").write_bytes((folder / "digits.onnx").read_bytes()[:5000])
    np.savez(folder / "objects.npz", x=np.array([{}, {}], dtype=object), y=np.arange(2))
    (folder / "text.onnx").write_text("Hello, I am a model.")
    (folder / "empty.npz").write_bytes(b"")
    np.savez(folder / "other.npz", x=np.zeros((20, 3, 8, 8), np.float32), y=np.zeros(20, np.int64))
    np.savez(folder / "hostile.npz", x=np.random.default_rng(0).normal(size=(64, 8)), y=np.arange(64) % 8)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, folder = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("server")
    words = [COMMAND, "run", HOSTILE, "--data", str(files / "hostile.npz"), "--no-browser", "--port", str(port)]
    words += ["--host", "0.0.0.0", "--allowed-host", "127.0.0.1", "--access-token", TOKEN]
    own = os.environ | {"PRUNING_EXPLORER_DATA": str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=own, cwd=ROOT)
        for _ in range(240):
            assert process.poll() is None, (folder / "log").read_text()
            with suppress(OSError):
                urllib.request.urlopen(f"{address}/api/health", timeout=1).read()
                break
            time.sleep(0.5)
        yield address
        process.terminate()
        assert process.wait(30) is not None
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitors:
    """Browsers of their own; nothing foreign is asked for by any of them, no dialog opens, nothing goes wrong."""

    def __init__(self, chromium: Any, server: str) -> None:
        self._chromium, self.server, self.contexts, self.wrong = chromium, server, list[Any](), list[str]()

    def come(self, path: str = "", knows_token: bool = True) -> Page:
        """Return the page of a new visitor."""
        context = self._chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
        context.on("page", self._watch)
        context.set_default_timeout(WAIT)
        self.contexts.append(context)
        page: Page = context.new_page()
        if knows_token:
            page.goto(f"{self.server}/?token={TOKEN.replace(' ', '+')}")
        page.goto(path or self.server)
        return page

    def empty(self) -> Page:
        """Return the page of a new visitor without a model."""
        page = self.come(f"{self.server}/?s=none")
        expect(zone(page)).to_be_visible()
        return page

    def _watch(self, page: Page) -> None:
        page.on("request", lambda request: None if self._is_ours(request.url) else self.wrong.append(request.url))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        page.on("pageerror", lambda error: self.wrong.append(f"page error {error}"))
        page.on("console", lambda said: self.wrong.append(said.text) if self._is_error(said) else None)
        page.on("framenavigated", lambda frame: None if self._is_ours(frame.url) else self.wrong.append(frame.url))

    def _is_ours(self, url: str) -> bool:
        return url.startswith((self.server, self.server.replace("http", "ws"), "data:", "blob:", "about:"))

    @staticmethod
    def _is_error(said: Any) -> bool:
        return "Content Security Policy" in said.text or (said.type == "error" and "status of 40" not in said.text)


@pytest.fixture(name="guests")
def guests_fixture(server: str, chromium: Any) -> Iterator[Visitors]:
    found = Visitors(chromium, server)
    yield found
    for context in found.contexts:
        for page in context.pages:
            assert page.get_by_test_id("stException").count() == 0
        context.close()
    assert not found.wrong


def zone(page: Page) -> Locator:
    return page.locator(".zone:visible")


def send(page: Page, file: Path) -> None:
    """Choose a file in the uploader that is open."""
    with page.expect_file_chooser() as chooser:
        zone(page).get_by_role("button").click()
    chooser.value.set_files(file)


def menu(page: Page, what: str) -> None:
    """Open the menu of the model or of the data."""
    page.get_by_test_id("stPopover").get_by_role("button", name=re.compile(f"^{what}")).first.click()
    expect(zone(page)).to_be_visible()


def rows(page: Page) -> Locator:
    return page.locator(".mixer .rw[data-layer]")


def bar(page: Page) -> Locator:
    return page.locator(".st-key-arrival")


def accuracy(page: Page) -> Locator:
    return page.locator("section.head .metric.accuracy")


# ---- the token


def test_a_visitor_is_asked_for_the_token_once(guests: Visitors) -> None:
    page = guests.come(knows_token=False)
    for token, seen in (("wrong horse battery", "That is not the token."), (TOKEN, "")):
        page.get_by_label("Access token of this server").fill(token)
        page.get_by_role("button", name="Open").click()
        if seen:
            expect(page.get_by_role("alert")).to_contain_text(seen)
    expect(page.locator("section.head").first).to_be_visible()  # two while it is drawn anew
    page.reload()
    expect(page.locator("section.head").first).to_be_visible()  # two while it is drawn anew
    assert TOKEN.split()[0] not in page.url
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies[visitors.COOKIE]["httpOnly"]
    assert cookies[visitors.COOKIE]["sameSite"] == "Strict"


# ---- files


def test_a_visitor_opens_a_model_and_data_prunes_and_takes_the_files_home(guests: Visitors, files: Path) -> None:
    page = guests.empty()
    send(page, files / "digits.onnx")
    expect(rows(page)).to_have_count(3)
    menu(page, "Data|No data")
    send(page, files / "digits.npz")
    expect(accuracy(page).locator(".how")).to_contain_text("n 400")
    assert float(accuracy(page).locator(".big").inner_text().removesuffix("%")) > 90
    page.keyboard.press("Escape")
    rows(page).first.locator(".pct input").fill("60")
    page.keyboard.press("Enter")
    expect(page.locator("section.head .metric.size .chg")).to_have_text(re.compile("^−"))
    expect(accuracy(page).locator(".how")).to_contain_text("n 400")
    page.get_by_role("link", name="Export", exact=True).click()
    page.get_by_role("button", name="Make the files").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="model.onnx").click()
    assert saved.value.suggested_filename == "model.onnx"
    page.reload()
    expect(page.get_by_role("button", name="model.onnx")).to_be_visible()
    expect(page.locator("section.head .metric.size .chg")).to_have_text(re.compile("^−"))


def test_weights_are_opened_once_their_architecture_is_named(guests: Visitors, files: Path) -> None:
    page = guests.empty()
    send(page, files / "digits.safetensors")
    expect(bar(page)).to_contain_text("E240")
    page.get_by_role("combobox", name="Architecture").fill(LENET)
    page.get_by_role("combobox", name="Architecture").press("Enter")
    page.locator(".st-key-answer_arrival button").click()
    expect(rows(page)).to_have_count(3)
    expect(bar(page)).to_have_count(0)


REFUSED = {
    "whole.pt": ("E203", "model.state_dict()"),
    "cut.onnx": ("E202", "again"),
    "text.onnx": ("E3..", ""),
    "objects.npz": ("E303", "numpy.savez"),
    "other.npz": ("E311", ""),
}


def test_a_refused_file_is_answered_by_a_sentence_and_what_was_open_stays(guests: Visitors, files: Path) -> None:
    page = guests.come()
    expect(rows(page)).to_have_count(len(NAMES))
    for name, (code, remedy) in REFUSED.items():
        menu(page, "Data")
        send(page, files / name)
        expect(bar(page).get_by_text(re.compile(rf"^({code})"))).to_be_visible()
        expect(bar(page)).to_contain_text(remedy)
        bar(page).get_by_role("button", name="Put aside").dispatch_event("click")
        expect(bar(page)).to_have_count(0)
        expect(rows(page)).to_have_count(len(NAMES))
        page.keyboard.press("Escape")
        expect(zone(page)).to_have_count(0)
    menu(page, "Data")
    send(page, files / "empty.npz")
    expect(page.locator(".refusal:visible")).to_contain_text("E602")


def test_a_large_file_is_refused_before_it_is_sent(guests: Visitors, tmp_path: Path) -> None:
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(101 * 10**6)
    page = guests.empty()
    send(page, tmp_path / "large.onnx")
    expect(page.locator(".refusal:visible")).to_contain_text("E601")
    expect(page.locator(".refusal:visible")).to_contain_text("100 MB")


def test_a_visitor_cannot_open_the_file_of_another(guests: Visitors, files: Path) -> None:
    first = guests.empty()
    send(first, files / "digits.onnx")
    expect(rows(first)).to_have_count(3)
    first.get_by_role("tab", name="Graph").click()
    graph = first.locator("iframe").get_attribute("src") or ""
    assert first.request.get(guests.server + graph).status == 200
    second = guests.come(first.url)
    expect(second.get_by_text("is not here, or belongs to another visitor")).to_be_visible()
    expect(second.locator("section.head")).to_have_count(0)
    expect(second.get_by_text("Your uploads")).to_have_count(0)
    assert second.request.get(guests.server + graph).status == 404
    again = first.context.new_page()
    again.goto(first.url)
    expect(rows(again)).to_have_count(3)
    again.close()
    owner = first.context.request
    first.close()  # the graph's address ends with the session that showed it
    assert any(owner.get(guests.server + graph).status == 404 or time.sleep(0.2) for _ in range(100))


# ---- names


def test_names_of_markup_go_through_every_page_and_do_nothing(guests: Visitors, files: Path) -> None:
    page = guests.come()
    expect(rows(page)).to_have_count(len(NAMES))
    expect(accuracy(page).locator(".how")).to_contain_text("n 64")
    assert rows(page).evaluate_all("rows => rows.map(row => row.dataset.layer)") == NAMES
    for tab in ("Activations", "Graph", "Weights"):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.wait_for_timeout(1500)
    rows(page).nth(3).click()
    rows(page).first.locator(".pct input").fill("60")
    page.keyboard.press("Enter")
    expect(page.locator("section.head .metric.size .chg")).to_have_text(re.compile("^−"))
    for what in ("Model", "Data"):
        menu(page, what)
        page.keyboard.press("Escape")
        expect(zone(page)).to_have_count(0)
    page.get_by_role("link", name="Sensitivity", exact=True).click()
    page.get_by_role("button", name=re.compile("^Sweep")).click()
    expect(page.get_by_text(re.compile(r"^\d+ cells in .*\. Kept for next time\."))).to_be_visible()
    page.locator(".sweep .cell").first.hover()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.wait_for_timeout(1500)  # the sweep's bar asks no more: a question under way would hold the page here
    page.get_by_role("link", name="Export", exact=True).click()
    page.get_by_role("button", name="Make the files").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="report.html").click()
    report = page.context.new_page()
    report.route("**/*", lambda route: route.fulfill(path=saved.value.path(), content_type="text/html"), times=1)
    report.goto(f"{guests.server}/report")
    expect(report.get_by_text(NAMES[0]).first).to_be_visible()
    report.wait_for_timeout(500)
    for shown in (page, report):
        assert (
            shown.evaluate("document.querySelectorAll('a[href*=evil], img[src*=evil], script[src*=evil]').length") == 0
        )


def test_names_of_markup_in_a_refused_file_do_nothing(guests: Visitors, files: Path) -> None:
    page = guests.empty()
    send(page, files / "named.safetensors")
    expect(bar(page)).to_contain_text("E240")
    page.wait_for_timeout(500)
    assert bar(page).locator("img, a, script, svg[onload]").count() == 0
