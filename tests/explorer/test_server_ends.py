"""The app with a sweep under way is ended from outside: no process of it is left, and what was measured is kept."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
COMMAND = str(Path(sys.executable).with_name("pruning-explorer"))
MODEL = "mobilenet_fashion"  # its sweep takes longer than the test
WAIT = 120_000  # ms; the machine may be busy
GONE = 2.0  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [COMMAND, "run", MODEL, "--no-browser", "--port", str(port)]
    own = os.environ | {"PRUNING_EXPLORER_DATA": str(folder)}
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log, env=own) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: answers(address))
            yield process, address
        finally:
            process.kill()


def answers(address: str) -> bool:
    with suppress(OSError):
        urllib.request.urlopen(f"{address}/api/health", timeout=1).read()
        return True
    return False


def until(done: Any) -> float:
    """Return when `done()` is true, and how many seconds that took."""
    started = time.monotonic()
    while not done():
        assert time.monotonic() < started + WAIT / 1000, "it did not come about in time"
        time.sleep(0.01)
    return time.monotonic() - started


def status(process: int) -> list[str]:
    """Return state, parent and more of a process; nothing where it is gone, or ended and waits to be collected."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return [] if fields[0] == "Z" else fields
    return []


def children(parent: int) -> list[int]:
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in every if status(process)[1:2] == [str(parent)]]


def wait_for_a_cell(page: Any, address: str) -> None:
    page.goto(f"{address}/sensitivity")
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.get_by_text("Measuring").first).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize("how", SIGNALS, ids=lambda how: how.name)
def test_no_process_is_left_two_seconds_after_the_server(tmp_path: Path, how: signal.Signals) -> None:
    with sync_playwright() as playwright, server(tmp_path) as (process, address):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        wait_for_a_cell(browser.new_page(), address)
        workers = children(process.pid)
        assert len(workers) == 1
        process.send_signal(how)
        process.wait(WAIT / 1000)
        assert until(lambda: not any(status(worker) for worker in workers)) < GONE
        browser.close()
        assert "Traceback" not in (tmp_path / "log").read_text()
        assert (tmp_path / "sweeps.sqlite").stat().st_size > 0


def test_a_worker_that_is_killed_is_replaced_and_its_sweep_goes_on(tmp_path: Path) -> None:
    with sync_playwright() as playwright, server(tmp_path) as (process, address):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        wait_for_a_cell(page, address)
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        until(lambda: set(children(process.pid)) - {worker})
        time.sleep(1)
        page.reload()
        expect(page.get_by_text("Measuring").first).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Cancel").dispatch_event("click")
        expect(page.get_by_text("They are kept.")).to_be_visible(timeout=WAIT)
        browser.close()
