"""The store's SQLite file: where it is, its tables, what is refused at opening, and what old sweeps may take.

Refused, since somebody has to decide what becomes of the file: no database, another program's database, a damaged one,
one of a newer version. All else that goes wrong (no space, no permission, locked) is told and nothing is lost by it.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep, time

from pruning_core.errors import StoreError

FOLDER_VARIABLE = "PRUNING_EXPLORER_DATA"
LIMIT_BYTES = 256 << 20  # looked at when a sweep is opened: those that were opened longest ago go until the rest fits
VERSION = 1
APPLICATION = 0x5052554E  # "PRUN", in the file's header
BUSY_SECONDS = 1.0  # waited for another writer: a cancelled sweep has to be back within two seconds
TABLES = (
    "CREATE TABLE sweeps (key TEXT PRIMARY KEY, document TEXT NOT NULL, opened REAL NOT NULL)",
    "CREATE TABLE choices (key TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (key, name))",
    "CREATE TABLE results (key TEXT, layer TEXT, sparsity REAL, block INTEGER, tallies TEXT NOT NULL,"
    " checksum INTEGER NOT NULL, PRIMARY KEY (key, layer, sparsity, block))",
)
DAMAGED = {sqlite3.SQLITE_NOTADB: "is no SQLite database", sqlite3.SQLITE_CORRUPT: "is a damaged database"}
ELSEWHERE = f"or set {FOLDER_VARIABLE} to another folder"
REMEDIES = {
    sqlite3.SQLITE_FULL: f"free some space {ELSEWHERE}",
    sqlite3.SQLITE_BUSY: f"end the program that has locked it {ELSEWHERE}",
    sqlite3.SQLITE_CORRUPT: f"move the file away {ELSEWHERE}",
    sqlite3.SQLITE_NOTADB: f"move the file away {ELSEWHERE}",
}


def default_path() -> Path:
    """Return the store in the user's data folder, or in the one that PRUNING_EXPLORER_DATA names."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser() / "sweeps.sqlite"
    home = Path.home()
    folders = {
        "win32": os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local",
        "darwin": home / "Library" / "Application Support",
    }
    folder = folders.get(sys.platform) or os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    return Path(folder) / "pruning-explorer" / "sweeps.sqlite"


def connect(path: Path) -> sqlite3.Connection:
    """Open the store at `path`, made where there is none; a file that is no store of this version is refused."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        with refusing_damage(path):
            if not _is_store(connection, path):
                _make(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_store(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the tables are there; False only for an empty database."""
    query = "SELECT * FROM pragma_application_id, pragma_user_version, (SELECT COUNT(*) FROM sqlite_master)"
    application, version, tables = connection.execute(query).fetchone()  # at once: another process may make them now
    if application not in (0, APPLICATION) or (tables and not application):
        raise StoreError(f"'{path}' is the database of another program; move it away {ELSEWHERE}")
    if version > VERSION:
        raise StoreError(
            f"'{path}' was written by a newer version of the explorer (its format is {version}, this one reads up to "
            f"{VERSION}); update the explorer, {ELSEWHERE}"
        )
    return bool(tables)


def _make(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, unless another process does so at the same moment."""
    _turn_on_wal(connection)
    with transaction(connection):
        if not _is_store(connection, path):
            for table in TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    """Readers and the writer no longer wait for each other; this one switch does not wait its turn by itself."""
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.01)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, on the disk when it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def enter(connection: sqlite3.Connection, key: str, document: str, limit: int = LIMIT_BYTES) -> None:
    """Note that the sweep `key` is opened now, and let the oldest others go where all take more than `limit` bytes."""
    with transaction(connection):
        note_sweep(connection, key, document)
        connection.execute("UPDATE sweeps SET opened = ? WHERE key = ?", (time(), key))
        with closing(connection.execute("SELECT key FROM sweeps WHERE key != ? ORDER BY opened", (key,))) as others:
            for other in others.fetchall() if used_bytes(connection) > limit else []:
                for table in ("results", "choices", "sweeps"):
                    connection.execute(f"DELETE FROM {table} WHERE key = ?", other)
                if used_bytes(connection) <= limit:
                    break


def note_sweep(connection: sqlite3.Connection, key: str, document: str) -> None:
    """Have a row that says what the results under `key` are of."""
    connection.execute("INSERT OR IGNORE INTO sweeps VALUES (?, ?, ?)", (key, document, time()))


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return what the rows take; the file may be larger, by pages that are used next."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in
                         ("page_count", "freelist_count", "page_size"))  # fmt: skip
    return int((pages - free) * size)


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Say which file it is that SQLite cannot read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if what := DAMAGED.get(_code(error)):
            raise StoreError(f"'{path}' {what}; move it away {ELSEWHERE}") from None
        raise


def trouble(path: Path, error: sqlite3.Error | OSError) -> str:
    """Say in a sentence that nothing is kept at present, why, and what to do."""
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    code = _code(error) if isinstance(error, sqlite3.Error) else 0
    remedy = REMEDIES.get(code, f"make its folder writable {ELSEWHERE}")
    return f"what is measured stays in memory only, because '{path}' takes nothing ({why.lower()}); {remedy}"


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended ones hold it in their lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
