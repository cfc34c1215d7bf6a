"""Pairs of visitors who try each other's files, over the page's own protocol on a hosted server.

Each visitor uploads a file of one and the same name. Then each opens a link to the other's. Counted is how often that
opened or showed anything of it, which has to be never, and how often it was refused by the sentence that is meant.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from explorer.snapshot import ExplorerState, to_link
from pruning_core.loaders.uploads import spec_of
from tests.benchmarks.app_start import ROOT, command, free_port, wait_for_health
from tests.benchmarks.browser_protocol import Visitor
from tests.benchmarks.common import parser, progress, run

MODEL = "lenet_300_100"
REFUSED = "belongs to another visitor"
NAME = "same_name.npz"


def upload(visitor: Visitor, content: bytes) -> dict[str, Any]:
    """Send a file as the page's uploader does."""
    headers = {"Origin": visitor.address, "X-Pruning-Explorer": "upload", "Cookie": visitor.cookie}
    request = urllib.request.Request(f"{visitor.address}/api/upload/{NAME}", content, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read()))


async def pair(address: str, content: bytes) -> dict[str, int]:
    """Let two visitors try each other's upload; return how often that worked, and what was as it should be."""
    two = [Visitor(address), Visitor(address)]
    for visitor in two:
        await visitor.come()
    files = [await asyncio.to_thread(upload, visitor, content) for visitor in two]
    links = [to_link(ExplorerState(model=MODEL, data=spec_of(file["token"], NAME))) for file in files]
    found = {"opened": 0, "refused": 0, "seen": 0, "sessions": 0, "errors": 0}
    for visitor, link, other in zip(two, reversed(links), reversed(files), strict=True):
        intruder = Visitor(address, cookie=visitor.cookie)
        await intruder.come(link)
        text = " ".join(intruder.text)
        found["opened"] += "mixer" in intruder.components
        found["refused"] += REFUSED in text
        found["seen"] += other["token"] in text
        found["sessions"] += 1
        found["errors"] += len(intruder.errors)
        await intruder.leave()
    for visitor in two:
        await visitor.leave()
    return found


def main() -> None:
    """Start a hosted server, let the pairs try, print one document."""
    options = parser(__doc__, names=[])
    options.add_argument("--pairs", type=int, default=50)
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        folder, port = Path(tempfile.mkdtemp(prefix="pruning-explorer-isolation-")), free_port()
        np.savez(folder / NAME, x=np.zeros((40, 1, 28, 28), np.float32), y=np.arange(40) % 10)
        own = os.environ | {"PRUNING_EXPLORER_DATA": str(folder), "PYTHONPATH": str(ROOT)}
        words = [*command(), "run", "--no-browser", "--port", str(port), "--host", "0.0.0.0"]
        process = subprocess.Popen(words, cwd=ROOT, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for_health(port, process)
            total: dict[str, int] = {}
            for number in range(given.pairs):
                found = asyncio.run(pair(f"http://127.0.0.1:{port}", (folder / NAME).read_bytes()))
                total = {key: total.get(key, 0) + value for key, value in found.items()}
                progress(f"pair {number + 1}: {found}")
        finally:
            process.terminate()
            process.wait(30)
        return {"pairs": given.pairs, **total}

    run(measure)


if __name__ == "__main__":
    main()
