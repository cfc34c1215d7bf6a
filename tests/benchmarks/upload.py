"""From the choice of a file to its first table of layers: an ONNX file of about 50 MB, sent and opened in Chromium.

The parts: `sent_s` until the server has the file, `layers_s` until the rows of its layers are drawn, both from the
moment of the choice. The first visitor of a server also waits for the process that tries files; the others do not.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.benchmarks.app_start import CHROMIUM, ROOT, command, free_port, wait_for_health
from tests.benchmarks.common import parser, percentile, run

AIM_SECONDS = 10.0
WAIT = 180_000  # ms


def onnx_file(folder: Path, kind: str) -> Path:
    """Write a model of about 50 MB: torchvision's resnet18 without trained weights, or a chain of linear layers."""
    if kind == "resnet18":
        from torchvision.models import resnet18

        model, example = resnet18(weights=None).eval(), torch.zeros(1, 3, 224, 224)
    else:
        model, example = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(12))).eval(), torch.zeros(1, 1024)
    path = folder / f"{kind}.onnx"
    dynamic = {"input": {0: "batch"}}
    torch.onnx.export(model, (example,), path, input_names=["input"], dynamic_axes=dynamic, dynamo=False)
    return path


def opened(address: str, path: Path) -> dict[str, float]:
    """Return how long a new visitor waits for the file that he chooses."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        button = page.locator(".zone:visible").get_by_role("button")
        button.wait_for(timeout=WAIT)
        with page.expect_file_chooser() as chooser:
            button.click()
        with page.expect_response(lambda answer: "/api/upload/" in answer.url, timeout=WAIT) as answered:
            started = time.perf_counter()
            chooser.value.set_files(path)
        sent = time.perf_counter() - started
        if answered.value.status != 201:
            raise SystemExit(f"the file was refused: {answered.value.text()}")
        expect(page.locator(".mixer .rw[data-layer]").first).to_be_visible(timeout=WAIT)
        layers = time.perf_counter() - started
        browser.close()
    return {"sent_s": sent, "layers_s": layers}


def main() -> None:
    """Start a server, open the file several times as visitors of their own, print one document."""
    options = parser(__doc__, names=[])
    options.add_argument("--kind", choices=["resnet18", "linear"], default="resnet18")
    options.add_argument("--times", type=int, default=3)
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        folder = Path(tempfile.mkdtemp(prefix="pruning-explorer-upload-"))
        path, port = onnx_file(folder, given.kind), free_port()
        own = os.environ | {"PRUNING_EXPLORER_DATA": str(folder), "PYTHONPATH": str(ROOT)}
        words = [*command(), "run", "--no-browser", "--port", str(port)]
        process = subprocess.Popen(words, cwd=ROOT, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for_health(port, process)
            time.sleep(10)  # the server's own start is another benchmark
            times = [opened(f"http://127.0.0.1:{port}", path) for _ in range(given.times)]
        finally:
            process.terminate()
            process.wait(30)
        later = [each["layers_s"] for each in times[1:]] or [times[0]["layers_s"]]
        return {
            "file": path.name,
            "megabytes": path.stat().st_size / 1e6,
            "first": times[0],
            "later_layers_s": {"p50": percentile(later, 50), "max": max(later)},
            "aim_s": AIM_SECONDS,
        }

    run(measure)


if __name__ == "__main__":
    main()
