"""The store: what a sweep has measured, so that one that was killed goes on where it was with nothing lost.

Measured is (layer, sparsity, block of examples) -> one tally for each stratum, under the hash of a document that holds
everything that can change a number. Numbers come back bit for bit. What is put is on the disk `PAUSE` seconds later;
until then a kill costs the time to measure it again. When the disk fails, the sweep goes on in memory, says so in
`notice`, and tries again with what is put next; which files are refused instead is said in `database`.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from errno import ENOENT
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from threading import Lock, RLock, Timer
from typing import Any, Self
from weakref import finalize
from zlib import crc32

from pruning_core.errors import StoreError
from pruning_core.sensitivity.database import (
    connect,
    default_path,
    enter,
    note_sweep,
    refusing_damage,
    transaction,
    trouble,
)
from pruning_core.sensitivity.tally import SUMS, Tally

PAUSE = 0.2  # seconds between commits: each waits for the disk, 19 ms where this was measured

_FIELDS = (*SUMS, "labelled")
_VALUES = attrgetter(*_FIELDS)

Place = tuple[str, float, int]  # layer, sparsity, block of examples


class Record:
    """What one sweep has measured and decided, in memory."""

    def __init__(self, notice: str = "") -> None:
        self.known: dict[Place, tuple[Tally, ...]] = {}
        self.notice = notice  # one sentence while what is measured is not kept on the disk
        self._choices: dict[str, str] = {}

    def put(self, layer: str, sparsity: float, block: int, tallies: Sequence[Tally]) -> None:
        """Remember the tallies of one block of examples, one for each stratum; the first ones count."""
        self.known.setdefault((layer, sparsity, block), tuple(tallies))

    def settled(self, name: str, value: Any) -> Any:
        """Return the first value that was ever given under `name`, as JSON gives it back."""
        return json.loads(self._choices.setdefault(name, json.dumps(value)))

    def decided(self, name: str, decide: Callable[[], Any]) -> Any:
        """Return what was settled under `name`; where nothing was, `decide` and settle it."""
        known = self._choices.get(name)
        return self.settled(name, decide()) if known is None else json.loads(known)

    def flush(self) -> None:
        """Wait until all that was put is on the disk, or `notice` says why it is not."""

    def close(self) -> None:
        """Flush, and let go of the file."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store:
    """All sweeps in one SQLite file; `path` None: the one in the user's data folder."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def record(self, document: Mapping[str, Any]) -> Record:
        """Return what was measured under `document`; a file that cannot be written leaves a record in memory."""
        text = _canonical(document)
        try:
            return _KeptRecord(self.path, text)
        except (sqlite3.Error, OSError) as error:
            return Record(trouble(self.path, error))

    def count(self, document: Mapping[str, Any]) -> int:
        """Return how many results are kept under `document`; 0 where the file is not to be read."""
        if not self.path.exists():
            return 0
        key = sha256(_canonical(document).encode()).hexdigest()
        try:
            with closing(connect(self.path)) as connection:
                return int(connection.execute("SELECT COUNT(*) FROM results WHERE key = ?", (key,)).fetchone()[0])
        except (sqlite3.Error, OSError, StoreError):
            return 0


class _KeptRecord(Record):
    """A record that a file keeps. Any thread may put; a timer commits, so that no one waits for the disk."""

    def __init__(self, path: Path, document: str) -> None:
        super().__init__()
        self.path, self.document = path, document
        self.key = sha256(document.encode()).hexdigest()
        self._connection = connect(path)
        finalize(self, self._connection.close)
        self._file = path.stat().st_ino
        self._waiting: list[tuple[Any, ...]] = []
        self._timer: Timer | None = None
        self._putting, self._writing = Lock(), RLock()
        with refusing_damage(path):
            enter(self._connection, self.key, document)
            self._read()

    def put(self, layer: str, sparsity: float, block: int, tallies: Sequence[Tally]) -> None:
        super().put(layer, sparsity, block, tallies)
        with self._putting:
            self._waiting.append((self.key, *_row(layer, sparsity, block, tallies)))
            if self._timer is None:
                self._timer = Timer(PAUSE, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def settled(self, name: str, value: Any) -> Any:
        if name not in self._choices:
            self._attempt(lambda: self._settle(name, json.dumps(value)))
        return super().settled(name, value)

    def flush(self) -> None:
        with self._writing:
            with self._putting:
                rows, self._waiting, timer, self._timer = self._waiting, [], self._timer, None
            if timer:
                timer.cancel()
            if rows and not self._attempt(lambda: self._save(rows)):
                with self._putting:
                    self._waiting = rows + self._waiting  # tried again with what is put next

    def close(self) -> None:
        self.flush()
        with self._writing:
            self._connection.close()

    def _read(self) -> None:
        self._choices = self._stored_choices()
        query = "SELECT layer, sparsity, block, tallies, checksum FROM results WHERE key = ?"
        for layer, sparsity, block, text, checksum in self._connection.execute(query, (self.key,)):
            if checksum != _checksum(layer, sparsity, block, text):
                raise StoreError(f"'{self.path}' holds a damaged result of '{layer}'; move the file away")
            self.known[layer, sparsity, block] = tuple(Tally(*values) for values in json.loads(text))

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Write in one transaction; where that fails, say so in `notice` and return False."""
        with self._writing:
            try:
                if self.path.stat().st_ino != self._file:
                    raise FileNotFoundError(ENOENT, "another file is in its place")
                with transaction(self._connection):
                    write()
                self.notice = ""
            except (sqlite3.Error, OSError) as error:
                self.notice = trouble(self.path, error)
            except StoreError as error:
                self.notice = str(error)
        return not self.notice

    def _save(self, rows: Sequence[tuple[Any, ...]]) -> None:
        note_sweep(self._connection, self.key, self.document)  # another process may have let an old sweep go
        for name, value in self._choices.items():
            if self._choose(name, value) != value:
                raise StoreError(
                    f"what is measured stays in memory only, because another sweep of the same request has chosen its "
                    f"{name} otherwise while '{self.path}' was not to be written; start the sweep again"
                )
        self._connection.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _settle(self, name: str, value: str) -> None:
        self._choices[name] = self._choose(name, value)

    def _choose(self, name: str, value: str) -> str:
        """Return the first value that the file was given under `name`."""
        self._connection.execute("INSERT OR IGNORE INTO choices VALUES (?, ?, ?)", (self.key, name, value))
        return self._stored_choices()[name]

    def _stored_choices(self) -> dict[str, str]:
        return dict(self._connection.execute("SELECT name, value FROM choices WHERE key = ?", (self.key,)).fetchall())


def _row(layer: str, sparsity: float, block: int, tallies: Sequence[Tally]) -> tuple[str, float, int, str, int]:
    text = json.dumps([_VALUES(tally) for tally in tallies], separators=(",", ":"))
    return layer, float(sparsity), int(block), text, _checksum(layer, sparsity, block, text)


def _checksum(layer: str, sparsity: float, block: int, text: str) -> int:
    """SQLite would hand on a bit that has flipped inside a value."""
    return crc32(f"{layer} {float(sparsity)!r} {int(block)} {text}".encode())


def _canonical(document: Mapping[str, Any]) -> str:
    """Return the one text of a document; the meaning of a tally is part of it."""
    whole = {"tally": _FIELDS, "document": document}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))
