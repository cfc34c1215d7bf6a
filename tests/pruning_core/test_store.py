"""The store: numbers come back bit for bit, the first ones count, and no trouble with the file stops a sweep."""

import json
import math
import multiprocessing
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from multiprocessing.queues import Queue
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.errors import StoreError
from pruning_core.sensitivity import database, store
from pruning_core.sensitivity.store import Record, Store
from pruning_core.sensitivity.tally import Tally

DOCUMENT = {"model": "abc", "levels": (0.1, 0.2), "data": {"n": 3}}
THIRD = Tally(3, 2, 1, 0, 3, 0.1 + 0.2, 1e-300, -1 / 3, 2e300, 5e-324, labelled=True)
TALLIES = (THIRD, Tally(), Tally(n=7, agreeing=6, kl=-0.0, kl_squares=math.inf))


@pytest.fixture(autouse=True)
def _no_real_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(database.FOLDER_VARIABLE, str(tmp_path / "data"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folders that" / "are not there" / "sweeps.sqlite"


def bits(tallies: tuple[Tally, ...]) -> list[list[bytes]]:
    """Every field as bytes: unlike ==, these tell -0.0 from 0.0 and 1 from True."""
    return [[type(v).__name__.encode() + pack("<d", v) for v in astuple(tally)] for tally in tallies]


def fill(at: Path, n: int = 3, document: dict[str, object] = DOCUMENT) -> None:
    with Store(at).record(document) as record:
        for block in range(n):
            record.put("conv1", 0.1, block, TALLIES)


@contextmanager
def opened(at: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(at, isolation_level=None)) as connection:
        yield connection


def rows(at: Path, table: str = "results") -> list[tuple[object, ...]]:
    with opened(at) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


def test_what_was_put_comes_back_bit_for_bit(path: Path) -> None:
    with Store(path).record(DOCUMENT) as record:
        assert (record.known, record.notice) == ({}, "")
        record.put("conv1", 0.1, 0, TALLIES)
        record.put("conv1", 0.30000000000000004, 12, TALLIES[:1])
        record.put("ein 'Ψ'\n\x00", 1, 0, ())
    with Store(path).record(json.loads(json.dumps(DOCUMENT))) as again:  # a tuple is a list in JSON
        assert list(again.known) == [("conv1", 0.1, 0), ("conv1", 0.30000000000000004, 12), ("ein 'Ψ'\n\x00", 1.0, 0)]
        assert [bits(known) for known in again.known.values()] == [bits(TALLIES), bits(TALLIES[:1]), []]


numbers = st.floats(allow_nan=False)
counts = st.integers(0, 2**53)
tallies = st.builds(Tally, *[counts] * 5, *[numbers] * 5, labelled=st.booleans())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(tallies, max_size=3).map(tuple), min_size=1, max_size=4))
def test_any_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[Tally, ...]]) -> None:
    at = tmp_path_factory.mktemp("store") / "s.sqlite"
    with Store(at).record({}) as record:
        for block, measured in enumerate(blocks):
            record.put("layer", 0.5, block, measured)
    with Store(at).record({}) as record:
        assert [bits(record.known["layer", 0.5, block]) for block in range(len(blocks))] == [bits(b) for b in blocks]


def test_a_change_of_the_document_or_of_a_tally_has_results_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    for other in ({**DOCUMENT, "model": "abd"}, {**DOCUMENT, "levels": (0.2, 0.1)}, {}):
        with Store(path).record(other) as record:
            assert not record.known
    with Store(path).record({name: DOCUMENT[name] for name in reversed(DOCUMENT)}) as record:
        assert len(record.known) == 3
    monkeypatch.setattr(store, "_FIELDS", (*store._FIELDS, "a sum that is added one day"))
    with Store(path).record(DOCUMENT) as record:
        assert not record.known


def test_the_first_results_and_choices_count(path: Path) -> None:
    for record in (Record(), Store(path).record(DOCUMENT)):
        with record:
            record.put("conv1", 0.1, 0, TALLIES)
            record.put("conv1", 0.1, 0, (THIRD,))
            assert record.known["conv1", 0.1, 0] == TALLIES
            assert record.settled("evaluator", ("torch", 0.1)) == ["torch", 0.1]
            assert record.settled("evaluator", "onnxruntime") == ["torch", 0.1]
            assert record.settled("other", None) is None
    with Store(path).record(DOCUMENT) as again:
        assert (again.settled("evaluator", 1), again.settled("other", 1)) == (["torch", 0.1], None)
        assert again.known["conv1", 0.1, 0] == TALLIES


def test_two_records_at_once_settle_alike_and_both_keep(path: Path) -> None:
    with Store(path).record(DOCUMENT) as one, Store(path).record(DOCUMENT) as two:
        assert (one.settled("evaluator", "torch"), two.settled("evaluator", "onnxruntime")) == ("torch", "torch")
        for record in (one, two):
            for block in range(20):
                record.put("conv1", 0.1, block, TALLIES)
            record.flush()
        assert (one.notice, two.notice) == ("", "")
    assert len(rows(path)) == 20


def test_results_are_on_the_disk_soon_without_anyone_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAUSE", 0.01)
    with Store(path).record(DOCUMENT) as record:
        record.put("conv1", 0.1, 0, TALLIES)
        for _ in range(500):
            if rows(path):
                break
            threading.Event().wait(0.01)
        assert len(rows(path)) == 1


def test_many_puts_are_few_commits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAUSE", 60)  # a timer that never fires here
    with Store(path).record(DOCUMENT) as record:
        before = threading.active_count()
        for block in range(100):
            record.put("conv1", 0.1, block, TALLIES)
        assert (len(rows(path)), threading.active_count()) == (0, before + 1)
        record.flush()
        assert len(rows(path)) == 100


def test_the_file_is_set_up_to_lose_nothing(path: Path) -> None:
    with Store(path).record(DOCUMENT) as record:
        connection = record._connection
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in
                   ("journal_mode", "synchronous", "busy_timeout", "user_version")}  # fmt: skip
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 1000, "user_version": 1}
    ((key, document, _),) = rows(path, "sweeps")
    assert json.loads(str(document))["document"] == json.loads(json.dumps(DOCUMENT))
    assert len(str(key)) == 64


def test_threads_may_sweep_the_same_at_once(path: Path) -> None:
    n = 8
    start = threading.Barrier(n)

    def one(_: int) -> str:
        start.wait()
        with Store(path).record(DOCUMENT) as record:
            for block in range(30):
                record.put("conv1", 0.1, block, TALLIES)
                if block % 10 == 0:
                    record.flush()
        return record.notice

    with ThreadPoolExecutor(n) as pool:
        assert list(pool.map(one, range(n))) == [""] * n
    assert len(rows(path)) == 30


def child(path: Path, name: str, said: "Queue[tuple[str, str]]") -> None:
    with Store(path).record({}) as record:
        evaluator = record.settled("evaluator", name)
        for block in range(200):
            record.put("conv1", 0.1, block, (Tally(n=block, kl=block / 3),))
        record.flush()
        said.put((evaluator, record.notice))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_may_sweep_the_same_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")  # what was imported here is at hand there
    said: Queue[tuple[str, str]] = context.Queue()
    children = [context.Process(target=child, args=(path, name, said)) for name in "abc"]
    for process in children:
        process.start()
    answers = [said.get(timeout=60) for _ in children]
    for process in children:
        process.join()
    assert answers in ([("a", "")] * 3, [("b", "")] * 3, [("c", "")] * 3)
    assert len(rows(path)) == 200


def test_the_path_is_in_the_users_data_folder_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Store().path == tmp_path / "data" / "sweeps.sqlite"
    monkeypatch.delenv(database.FOLDER_VARIABLE)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    folders = {"linux": ".local/share", "darwin": "Library/Application Support", "win32": "AppData/Local"}
    for platform, folder in folders.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert Store().path == tmp_path / folder / "pruning-explorer" / "sweeps.sqlite"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert Store().path == tmp_path / "local" / "pruning-explorer" / "sweeps.sqlite"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert Store().path == tmp_path / "xdg" / "pruning-explorer" / "sweeps.sqlite"


def refusal(at: Path) -> str:
    before = at.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store(at).record(DOCUMENT)
    assert at.read_bytes() == before  # nobody's file is written over
    return str(caught.value).replace(str(at), "PATH")


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path: Path) -> None:
    (no_database := tmp_path / "notes.txt").write_text("not a database, and longer than the header of one " * 40)
    ending = "move it away or set PRUNING_EXPLORER_DATA to another folder"
    assert refusal(no_database) == f"'PATH' is no SQLite database; {ending}"
    with opened(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE sweeps (mine)")
    assert refusal(tmp_path / "other.sqlite") == f"'PATH' is the database of another program; {ending}"
    with opened(tmp_path / "signed.sqlite") as connection:
        connection.execute("PRAGMA application_id = 77")
    assert refusal(tmp_path / "signed.sqlite") == f"'PATH' is the database of another program; {ending}"


def test_a_newer_version_is_refused(path: Path) -> None:
    fill(path)
    with opened(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    assert refusal(path) == (
        "'PATH' was written by a newer version of the explorer (its format is 2, this one reads up to 1); "
        "update the explorer, or set PRUNING_EXPLORER_DATA to another folder"
    )


def test_a_damaged_store_is_refused(path: Path) -> None:
    fill(path, 200)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    assert "is a damaged database; move it away" in refusal(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "is a damaged database; move it away" in refusal(path)


def test_a_bit_that_flipped_inside_a_result_is_noticed(path: Path) -> None:
    fill(path)
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(b"-0.3333")] = ord("0")  # still a number, and a sound database
    path.write_bytes(whole)
    assert refusal(path) == "'PATH' holds a damaged result of 'conv1'; move the file away"


def in_memory(record: Record) -> str:
    """Whatever the file does, the record serves the sweep; returns the notice."""
    record.put("conv1", 0.9, 99, TALLIES)
    record.flush()
    assert record.known["conv1", 0.9, 99] == TALLIES
    assert record.settled("late", "x") == record.settled("late", "y") == "x"
    notice = record.notice
    record.close()
    assert len(notice.splitlines()) == 1
    return notice


@pytest.mark.parametrize("folder", ["file/folder", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_leaves_the_sweep_in_memory(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    at = tmp_path / folder / "sweeps.sqlite"
    notice = in_memory(Store(at).record(DOCUMENT))
    assert notice.startswith(f"what is measured stays in memory only, because '{at}' takes nothing (")
    assert notice.endswith("); make its folder writable or set PRUNING_EXPLORER_DATA to another folder")


def test_a_full_disk_is_told_and_what_waits_is_kept_when_there_is_space(path: Path) -> None:
    with Store(path).record(DOCUMENT) as record:
        record.put("conv1", 0.1, 0, TALLIES)
        record.flush()
        pages = record._connection.execute("PRAGMA page_count").fetchone()[0]
        record._connection.execute(f"PRAGMA max_page_count = {pages}")
        for block in range(200):
            record.put("conv1", 0.2, block, TALLIES)
        record.flush()
        assert record.notice == (
            f"what is measured stays in memory only, because '{path}' takes nothing (database or disk is full); "
            "free some space or set PRUNING_EXPLORER_DATA to another folder"
        )
        assert (len(record.known), len(rows(path))) == (201, 1)  # all of a commit or nothing
        record._connection.execute("PRAGMA max_page_count = 100000")
        record.flush()
        assert (record.notice, len(rows(path))) == ("", 201)


def test_a_store_that_became_read_only_is_told(path: Path) -> None:
    record = Store(path).record(DOCUMENT)
    record._connection.execute("PRAGMA query_only = 1")
    assert "(attempt to write a readonly database); make its folder writable" in in_memory(record)


def test_a_store_locked_by_another_process_is_told_and_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    fill(path)
    with opened(path) as other, Store(path).record(DOCUMENT) as record:
        other.execute("BEGIN IMMEDIATE")
        record.put("conv1", 0.9, 0, TALLIES)
        assert record.settled("evaluator", "torch") == "torch"
        record.flush()
        assert "(database is locked); end the program that has locked it" in record.notice
        late = Store(path).record(DOCUMENT)
        assert "(database is locked)" in in_memory(late)
        other.execute("COMMIT")
        record.flush()
        assert (record.notice, len(rows(path)), len(rows(path, "choices"))) == ("", 4, 1)


def test_results_under_a_choice_that_lost_do_not_mix_with_those_of_the_winner(path: Path) -> None:
    with Store(path).record(DOCUMENT) as loser, Store(path).record(DOCUMENT) as winner:
        loser._connection.execute("PRAGMA query_only = 1")
        assert loser.settled("evaluator", "torch") == "torch"
        assert winner.settled("evaluator", "onnxruntime") == "onnxruntime"
        loser._connection.execute("PRAGMA query_only = 0")
        loser.put("conv1", 0.1, 0, TALLIES)
        loser.flush()
        assert "another sweep of the same request has chosen its evaluator otherwise" in loser.notice
        assert rows(path) == []


def test_a_file_that_was_taken_away_is_told(path: Path) -> None:
    with Store(path).record(DOCUMENT) as record:
        path.unlink()
        assert "(no such file or directory)" in in_memory(record)
    record = Store(path).record(DOCUMENT)
    fill(path.with_name("other.sqlite"))
    path.with_name("other.sqlite").rename(path)
    assert "(another file is in its place)" in in_memory(record)


def test_the_oldest_sweeps_go_when_all_take_too_much(path: Path) -> None:
    for number in range(6):
        fill(path, 100, {"number": number})
    with Store(path).record({"number": 0}):  # used again, so no longer the oldest
        pass
    with opened(path) as connection:
        size = database.used_bytes(connection)
        database.enter(connection, "new", "{}", limit=size)  # its own row needs no further page
        assert len(rows(path, "sweeps")) == 7
        database.enter(connection, "new", "{}", limit=size // 2)
        assert database.used_bytes(connection) <= size // 2
    left = {json.loads(str(text)).get("document", {}).get("number") for _, text, _ in rows(path, "sweeps")}
    assert left == {0, 5, None}
    assert len(rows(path)) == 200


def test_the_pages_of_old_sweeps_are_used_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.enter, "__defaults__", (100_000,))
    for number in range(8):
        fill(path, 100, {"number": number})
    assert path.stat().st_size < 200_000
    assert 0 < len(rows(path)) < 800


def test_a_sweep_that_was_let_go_while_it_runs_is_entered_again(path: Path) -> None:
    with Store(path).record(DOCUMENT) as record, opened(path) as other:
        database.enter(other, "new", "{}", limit=0)
        assert len(rows(path, "sweeps")) == 1
        record.put("conv1", 0.1, 0, TALLIES)
        record.flush()
        assert (len(rows(path, "sweeps")), len(rows(path))) == (2, 1)


def test_a_transaction_is_whole_or_nothing(path: Path) -> None:
    with closing(database.connect(path)) as connection:
        with suppress(ZeroDivisionError), database.transaction(connection):
            database.note_sweep(connection, "key", "{}")
            print(1 / 0)
        assert rows(path, "sweeps") == []


def test_the_exact_kind_of_a_trouble_does_not_change_the_remedy(path: Path) -> None:
    error = sqlite3.OperationalError("locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
    assert "end the program that has locked it" in database.trouble(path, error)


def test_a_store_says_how_much_it_keeps_of_a_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path / "sweeps.sqlite")
    assert store.count({"a": 1}) == 0
    with store.record({"a": 1}) as record:
        record.put("fc", 0.5, 0, (Tally(n=1),))
        record.put("fc", 0.5, 1, (Tally(n=1),))
    assert (store.count({"a": 1}), store.count({"a": 2})) == (2, 0)
    store.path.write_bytes(b"no database" * 100)
    assert store.count({"a": 1}) == 0
