"""The README's pictures, taken from the running app: `python -m tests.pictures [light] [dark]` takes them anew."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

DOCS = Path(__file__).parents[1] / "docs"
SAMPLE = "resnet_fashion"
PLAN = {
    "layers.0.conv1": 0.3,
    "layers.1.conv1": 0.4,
    "layers.2.conv1": 0.6,
    "layers.2.conv2": 0.78,
    "layers.4.conv1": 0.5,
}
CHANNELS = {"layers.3.conv1": 0.25, "layers.3.conv2": 0.125}  # whole channels go, of coupled layers too; 48 and 56 stay


@contextmanager
def server(sample: str) -> Iterator[str]:
    """Run the app on a free port; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from explorer.server import serve; serve({sample!r}, port={port}, open_browser=False)"
    with TemporaryDirectory() as folder:  # no sweep of the user is shown
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PRUNING_EXPLORER_DATA": folder})
        try:
            yield _when_up(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(30)


def _when_up(address: str) -> str:
    for _ in range(240):
        try:
            with urlopen(f"{address}/_stcore/health"):
                return address
        except (URLError, ConnectionError):
            sleep(0.25)
    raise RuntimeError("the app did not start")


def drag(page: Any, layer: str, sparsity: float) -> None:
    """Drag a row's slider to `sparsity` and wait for the measurement."""
    slider = page.locator(f'.rw[data-layer="{layer}"] input.range')
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    left, length, y = box["x"] + 7, box["width"] - 14, box["y"] + box["height"] / 2
    start = float(slider.input_value()) / 100
    page.mouse.move(left + length * start, y)
    page.mouse.down()
    page.mouse.move(left + length * sparsity, y, steps=8)
    page.mouse.up()
    measured(page)


def channels(page: Any, layer: str, sparsity: float) -> None:
    """Let whole channels of a row go, and measure its curve."""
    row = page.locator(f'.rw[data-layer="{layer}"]')
    row.locator(".gran select").select_option(label="Channel")
    field = row.locator(".pct input")
    field.fill(f"{100 * sparsity:g}")
    field.press("Enter")
    measured(page)
    if row.get_by_role("button", name="Measure this layer").count():
        row.get_by_role("button", name="Measure this layer").click()
    row.locator(".plot").wait_for(timeout=120_000)
    measured(page)


def measured(page: Any) -> None:
    """Wait until the headline holds all examples."""
    sleep(0.6)
    page.locator(".metric.accuracy", has_text="n 2,000").wait_for(timeout=60_000)


def go(page: Any, name: str) -> None:
    """Open a page by the navigation."""
    page.get_by_role("link", name=name).click()
    sleep(2)


def sweep(page: Any) -> None:
    """Run a whole sweep and wait for its end."""
    go(page, "Sensitivity")
    page.get_by_role("button", name="Sweep", exact=True).click()
    page.get_by_text("Kept for next time").wait_for(timeout=600_000)
    sleep(2)


def fit(page: Any) -> None:
    """Compare all allocations of one sparsity in the dialog."""
    page.get_by_role("button", name="Fit to budget").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Sparsity", exact=True).click()
    dialog.get_by_role("button", name="allocations").click()
    dialog.get_by_role("button", name="Use", exact=True).first.wait_for(timeout=300_000)
    sleep(2)


def take(page: Any, name: str) -> None:
    """Save what is seen."""
    page.mouse.move(2, 890)
    sleep(1)
    page.screenshot(path=DOCS / f"{name}.png")


def tour(page: Any, theme: str, first: bool) -> None:
    """Sweep, make a plan, and take the picture of each page."""
    page.locator(".rw[data-layer]").first.wait_for(timeout=90_000)
    if first:
        sweep(page)
        go(page, "Explore")
    fit(page)
    take(page, f"fit_{theme}")
    page.keyboard.press("Escape")
    for layer, sparsity in PLAN.items():
        drag(page, layer, sparsity)
    for layer, sparsity in CHANNELS.items():
        channels(page, layer, sparsity)
    if page.locator(".metric.latency button").count():  # else it is known from the other theme
        page.locator(".metric.latency button").click()
    page.locator(".metric.latency", has_text="dense").wait_for(timeout=120_000)
    page.locator('.rw[data-layer="layers.3.conv2"] .nm').click()
    up = "(row) => { for (let e = row.parentElement; e; e = e.parentElement) e.scrollTop = 0; }"
    page.locator(".mixer .rw").first.evaluate(up)
    take(page, f"explore_{theme}")
    go(page, "Sensitivity")
    take(page, f"sensitivity_{theme}")
    go(page, "Export")
    page.get_by_role("button", name="Make the files").or_(page.get_by_role("button", name="plan.json")).first.click()
    page.get_by_role("button", name="plan.json").wait_for(timeout=300_000)
    take(page, f"export_{theme}")


def main() -> None:
    """Take all pictures, light and dark."""
    from playwright.sync_api import sync_playwright

    DOCS.mkdir(exist_ok=True)
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with server(SAMPLE) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        themes = sys.argv[1:] or ["light", "dark"]
        for theme in themes:
            page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=theme)
            page.goto(address)
            tour(page, theme, first=theme == themes[0])
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
