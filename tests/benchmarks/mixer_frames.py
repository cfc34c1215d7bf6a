"""Frame time of the mixer while a slider is dragged, at 20, 100 and 300 rows, in headless Chromium.

`python -m tests.benchmarks.mixer_frames` prints one JSON document. Rendering is in software, so a screen is quicker.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.common import machine, percentile

sys.path.insert(0, str(Path(__file__).parents[1] / "components"))

ROWS = (20, 100, 300)
MOVES = 240
PROBE = """() => { window.frames_ = []; let last = performance.now();
  const next = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(next); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(next); }); }"""


def measure(page: Any) -> dict[str, float]:
    """Drag the fifth row's slider to and fro; return frame intervals in milliseconds."""
    box = page.locator(".body .rw[data-layer] .range").nth(4).bounding_box()
    left, length, y = box["x"] + 7, box["width"] - 14, box["y"] + box["height"] / 2
    page.mouse.move(left + length * 0.5, y)
    page.mouse.down()
    page.evaluate(PROBE)
    for k in range(MOVES):
        page.mouse.move(left + length * (0.2 + 0.6 * abs(MOVES / 2 - k) / (MOVES / 2)), y)
        page.wait_for_timeout(8)
    frames = page.evaluate("() => window.frames_")
    page.mouse.up()
    return {"n": len(frames), "p50_ms": round(percentile(frames, 50), 1), "p95_ms": round(percentile(frames, 95), 1)}


def main() -> None:
    """Measure and print."""
    import harness_mixer

    found = {}
    with harness_mixer.serve() as address, harness_mixer.browser() as browser:
        for rows in ROWS:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(f"{address}/?rows={rows}")
            page.locator(".mixer .rw").first.wait_for(timeout=30_000)
            found[f"{rows} rows"] = measure(page)
            page.close()
    print(json.dumps({"benchmark": "mixer_frames", "machine": machine(), "frames": found}, indent=2))


if __name__ == "__main__":
    main()
