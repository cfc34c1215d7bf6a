"""A sweep that is killed loses nothing, breaks nothing, and ends with the cells of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the sweeps are copies of a process")
def test_a_hundred_kills_leave_nothing_lost_corrupt_or_different() -> None:
    command = [sys.executable, "-m", "tests.kill_sweep", "--kills", "100"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout)
    assert figures["kills"] >= 100
    assert figures["kills_before_anything_was_kept"] < 60
    assert figures["results_told_and_found"] > 100
