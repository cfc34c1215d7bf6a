"""The kill test: a sweep is killed at random moments, goes on from its store, and must end as if nothing had happened.

python -m tests.kill_sweep --kills 1000

The sweep runs in copies of this process, so that a round costs no imports. After each SIGKILL the store is opened: it
must be sound, must hold all that the sweep was told to be on the disk, and no other number than an undisturbed sweep.
Each process would choose an evaluator of its own, so a sweep that did not keep to its first choice would be seen.
"""

import argparse
import json
import os
import pickle
import random
import signal
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import torch
from torch import nn

import pruning_core as pc
from pruning_core.sensitivity import Cell, Store, store
from pruning_core.sensitivity.driver import Driver
from pruning_core.sensitivity.store import Place

EVALUATORS = ("torch", "onednn")
PAUSE = 0.005  # seconds between commits: many more than in life, so that kills meet them
EARLY_SHARE = 0.2  # of the kills, while the store is being opened
EARLY_SECONDS = 0.03
Rows = dict[Place, str]  # the text of the tallies, which tells every bit


def subject() -> tuple[pc.Model, pc.EvalData]:
    """Return a small model with its graph traced, and data."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    model = pc.Model(
        "subject", nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 5)), (torch.rand(1, 1, 12, 12),)
    )
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((1500, 1, 12, 12)).astype(np.float32)
    with torch.no_grad():
        targets = model.module(torch.from_numpy(inputs)).argmax(1).numpy()
    wrong = generator.random(len(targets)) < 0.1
    targets[wrong] = generator.integers(0, 5, int(wrong.sum()))
    assert model.graph
    return model, pc.EvalData("noise", "validation", inputs, targets)


def choose_at_random() -> None:
    """Have the choice of evaluators depend on the process, not on which is fastest."""
    Driver._choice = lambda *_: {  # type: ignore[method-assign]
        "0": EVALUATORS[os.urandom(1)[0] % 2]
    }


def started(sweep: Callable[[], Sequence[Cell]], told: Path, finished: Path) -> int:
    """Run a sweep in a copy of this process; `told` gets a line for each row on the disk, `finished` the cells."""
    child = os.fork()
    if child:
        return child
    try:
        _tell_what_is_kept(told)
        cells = sweep()
        partial = finished.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(cells))
        partial.rename(finished)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _tell_what_is_kept(told: Path) -> None:
    attempt, save = store._KeptRecord._attempt, store._KeptRecord._save
    saved: list[Any] = []

    def saving(self: Any, rows: Sequence[Any]) -> None:
        save(self, rows)
        saved.extend(rows)

    def attempting(self: Any, write: Callable[[], None]) -> bool:
        if kept := attempt(self, write):  # the commit has returned
            with told.open("ab") as lines:
                lines.write(b"".join(json.dumps(row[1:4]).encode() + b"\n" for row in saved))
        saved.clear()
        return kept

    store._KeptRecord._save = saving  # type: ignore[method-assign]
    store._KeptRecord._attempt = attempting  # type: ignore[method-assign]
    store.PAUSE = PAUSE


class KillTest:
    """Kills sweeps and looks at what is left of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.model, self.data = subject()
        self.figures: Counter[str] = Counter()
        choose_at_random()
        before = monotonic()
        self.expected: dict[str, tuple[tuple[Cell, ...], Rows]] = {}  # by the choice
        while len(self.expected) < len(EVALUATORS):
            path = folder / f"undisturbed{self.figures['undisturbed_sweeps']}.sqlite"
            cells = self._undisturbed(path)
            self.expected[str(choice_of(path))] = cells, rows_of(path)
            self.figures["undisturbed_sweeps"] += 1
        self.seconds = (monotonic() - before) / self.figures["undisturbed_sweeps"]

    def _sweep(self, path: Path) -> tuple[Cell, ...]:
        request = pc.Request(levels=(0.2, 0.4, 0.6, 0.8, 0.9))
        return pc.sweep(self.model, self.data, request, store=Store(path)).cells

    def _undisturbed(self, path: Path) -> tuple[Cell, ...]:
        finished = path.with_suffix(".cells")
        _, status = os.waitpid(started(lambda: self._sweep(path), path.with_suffix(".told"), finished), 0)
        assert status == 0
        return cells_of(finished)

    def run(self, kills: int) -> dict[str, Any]:
        """Kill `kills` times and return the figures; anything lost, corrupt or different ends it with an error."""
        while self.figures["kills"] < kills:
            self._one_sweep(self.folder / f"{self.figures['sweeps']}.sqlite", kills)
            self.figures["sweeps"] += 1
        return {
            **self.figures,
            "undisturbed_seconds": round(self.seconds, 3),
            "rows_of_a_sweep": [len(rows) for _, rows in self.expected.values()],
        }

    def _one_sweep(self, path: Path, kills: int) -> None:
        finished, before, choice = path.with_suffix(".cells"), Rows(), ""
        while not finished.exists():
            lives_on = self.figures["kills"] >= kills
            told = self._started_and_killed(path, finished, lives_on)
            after = rows_of(path)
            missing = {place for place in (*before, *told) if place not in after}
            assert not missing, f"{len(missing)} results were lost"
            choice = choice_of(path) or choice  # none was made before the first rows
            _, rows = self.expected[choice or next(iter(self.expected))]
            assert after.items() <= rows.items(), "a result differs from the undisturbed one"
            self.figures["results_told_and_found"] += len(told)
            before = after
        assert choice
        self.figures[f"sweeps {choice}"] += 1
        assert (cells_of(finished), after) == self.expected[choice], "the cells differ from the undisturbed ones"
        for file in self.folder.glob(f"{path.stem}.*"):
            file.unlink()

    def _started_and_killed(self, path: Path, finished: Path, lives_on: bool) -> list[Place]:
        """Return what the sweep was told to be kept before it was killed, or had ended."""
        told = path.with_suffix(".told")
        told.write_bytes(b"")
        child = started(lambda: self._sweep(path), told, finished)
        if not lives_on:
            early = self.random.random() < EARLY_SHARE
            sleep(self.random.uniform(0, EARLY_SECONDS if early else self.seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the sweep ended with an error"
        if os.WIFSIGNALED(status):
            self.figures["kills"] += 1
            self.figures["kills_before_anything_was_kept"] += not rows_of(path)
        whole = told.read_bytes().rpartition(b"\n")[0]  # a kill may leave half a line
        return [(layer, level, block) for layer, level, block in map(json.loads, whole.splitlines())]


def cells_of(finished: Path) -> tuple[Cell, ...]:
    """Return the cells that a sweep ended with."""
    cells: tuple[Cell, ...] = pickle.loads(finished.read_bytes())
    return cells


def choice_of(path: Path) -> str:
    """Return the evaluators that were chosen, or nothing."""
    if not rows_of(path):
        return ""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT value FROM choices WHERE name = 'evaluators'").fetchone()
        return str(found[0]) if found else ""


def rows_of(path: Path) -> Rows:
    """Return the results in a store, which must be sound."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the store is corrupt"
        if not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            return {}
        query = "SELECT layer, sparsity, block, tallies FROM results"
        return {(layer, sparsity, block): tallies for layer, sparsity, block, tallies in connection.execute(query)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    before = monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = KillTest(Path(folder), options.seed).run(options.kills)
    print(json.dumps({**figures, "seconds": round(monotonic() - before, 1)}))


if __name__ == "__main__":
    main()
