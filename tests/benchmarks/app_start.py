"""Start of the app: from the command to an answer of its health route, and to the first usable page in Chromium."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.common import parser, percentile, run

SAMPLE, FIRST_LAYER = "lenet_300_100", "fc1"
PATIENCE = 120.0  # seconds
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command() -> list[str]:
    """Return the installed command beside this Python, or its module where it is not installed."""
    script = Path(sys.executable).with_name("pruning-explorer")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from explorer.cli import main; main()"]


@contextmanager
def app(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the app and end it."""
    arguments = [*command(), "run", SAMPLE, "--no-browser", "--port", str(port)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_health(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the health route answers 200."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        if process.poll() is not None:
            errors = process.stderr.read().decode() if process.stderr else ""
            raise SystemExit(f"the app ended with {process.returncode}: {errors[-500:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(f"no answer within {PATIENCE:g} s")


def has_browser() -> bool:
    """Whether playwright and Chromium are there."""
    return importlib.util.find_spec("playwright") is not None and Path(CHROMIUM).exists()


def seconds_to_page(port: int) -> float:
    """Return the seconds from opening the page to the name of the first layer; the browser runs already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text(FIRST_LAYER, exact=True).first.wait_for(state="visible", timeout=1000 * PATIENCE)
        seconds = time.perf_counter() - started
        browser.close()
        return seconds


def once() -> dict[str, float]:
    """Start the app once; a second page shows what a visitor meets when the model is loaded."""
    port, started = free_port(), time.perf_counter()
    with app(port) as process:
        wait_for_health(port, process)
        found = {"health_s": time.perf_counter() - started}
        if has_browser():
            found["first_page_s"] = seconds_to_page(port)
            found["second_page_s"] = seconds_to_page(port)
            found["start_to_usable_s"] = found["health_s"] + found["first_page_s"]
        return found


def main() -> None:
    """Print the median and the slowest of several starts."""
    options = parser(__doc__)
    options.add_argument("--starts", type=int, default=3)
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        starts = [once() for _ in range(given.starts)]
        values = {name: [start[name] for start in starts] for name in starts[0]}
        summary = {n: {"median": round(percentile(v, 50), 2), "slowest": round(max(v), 2)} for n, v in values.items()}
        return {"sample": SAMPLE, "starts": given.starts, "browser": has_browser(), **summary}

    run(measure)


if __name__ == "__main__":
    main()
