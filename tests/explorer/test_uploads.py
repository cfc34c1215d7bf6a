"""Uploads: the folder of each, whose it is, what it may take, and the route that brings it in parts."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.applications import Starlette

from explorer import limits, upload_route, visitors
from explorer.figures.escaping import file_name
from explorer.limits import HostLimits
from explorer.uploads import Upload, Uploads
from pruning_core.errors import FileRefused, PruningError

KB = 1000
SMALL = HostLimits(
    upload_bytes=4 * KB,
    visitor_bytes=10 * KB,
    visitor_files=3,
    visitor_transfers=2,
    total_bytes=15 * KB,
    upload_hours=1,
)
MINE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", SMALL)


def sent(uploads: Uploads, n_bytes: int, owner: str = MINE, name: str = "net.onnx") -> Upload:
    transfer = uploads.begin(owner, name, n_bytes)
    transfer.write(b"x" * n_bytes)
    return transfer.finish()


def refusal(act: Callable[[], object]) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        act()
    return caught.value


# ---- on disk


def test_a_file_lies_in_a_private_folder_under_a_clean_name(uploads: Uploads) -> None:
    upload = sent(uploads, 100, name="../../my net.onnx")
    path = uploads.folder / upload.token / "my_net.onnx"
    assert path.read_bytes() == b"x" * 100
    assert upload.spec == f"upload:{upload.token}/my_net.onnx"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (uploads.folder, path.parent, path)] == [0o700, 0o700, 0o600]
    assert len(upload.token) == 22


def test_a_visitor_finds_his_own_uploads_alone(uploads: Uploads) -> None:
    mine, other = sent(uploads, 10), sent(uploads, 20, OTHER)
    assert [upload.token for upload in uploads.of(MINE)] == [mine.token]
    assert uploads.find(mine.token, MINE) is not None
    assert uploads.find(other.token, MINE) is uploads.find(mine.token, "") is None
    assert uploads.of("") == []


@pytest.mark.parametrize(
    ("n_bytes", "before", "code", "word"),
    [
        (4001, (), "E601", "upload_bytes"),
        (3000, (4000, 4000), "E620", "visitor_bytes"),
        (1, (1, 1, 1), "E620", "visitor_files"),
    ],
)
def test_a_visitor_takes_no_more_than_his_share(
    uploads: Uploads, n_bytes: int, before: tuple[int, ...], code: str, word: str
) -> None:
    for size in before:
        sent(uploads, size)
    error = refusal(lambda: sent(uploads, n_bytes))
    assert error.code == code
    assert word in str(error)
    assert len(uploads.of(MINE)) == len(before)


def test_all_visitors_together_take_no_more_than_there_is(uploads: Uploads) -> None:
    for owner in "abc":
        sent(uploads, 4000, owner * 32)
    assert refusal(lambda: sent(uploads, 4000, "d" * 32)).code == "E620"


def test_room_is_kept_for_what_is_under_way(uploads: Uploads) -> None:
    first, _ = uploads.begin(MINE, "a.npz", None), uploads.begin(MINE, "b.npz", 100)
    assert refusal(lambda: uploads.begin(MINE, "c.npz", 1)).code == "E622"
    first.drop()
    assert uploads.begin(MINE, "c.npz", 1).path.name == "c.npz"


def test_what_was_not_announced_is_not_written(uploads: Uploads) -> None:
    transfer = uploads.begin(MINE, "a.npz", 10)
    assert refusal(lambda: transfer.write(b"x" * 11)).code == "E601"
    transfer.drop()
    short = uploads.begin(MINE, "a.npz", 10)
    short.write(b"x")
    assert refusal(short.finish).code == "E602"
    short.drop()
    assert list(uploads.folder.iterdir()) == []


def test_an_upload_ends_after_its_time_and_so_does_what_nobody_owns(uploads: Uploads) -> None:
    late, young = sent(uploads, 10), sent(uploads, 10)
    uploads.admit(late.spec)
    for name in (late.token, f"{late.token}.owner", f"{late.token}.passed"):
        os.utime(uploads.folder / name, (time.time() - 3601,) * 2)
    (uploads.folder / "left").mkdir()
    os.utime(uploads.folder / "left", (time.time() - 3601,) * 2)
    uploads.sweep()
    assert sorted(path.name for path in uploads.folder.iterdir()) == sorted([young.token, f"{young.token}.owner"])


def test_a_file_keeps_its_owner_under_another_name(uploads: Uploads) -> None:
    upload = uploads.rename(sent(uploads, 10, name="net.bin"), "net.safetensors")
    found = uploads.find(upload.token, MINE)
    assert found is not None
    assert found.name == "net.safetensors"
    uploads.admit(f"{upload.spec}+as@lenet_300_100")
    assert uploads.passed(upload.token) == [f"{upload.spec}+as@lenet_300_100"]
    uploads.forget(upload.token)
    assert list(uploads.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("net.onnx", "net.onnx"),
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.pt", "b.pt"),
        (".onnx", "onnx"),
        ("", "file"),
        ("..", "file"),
        ("résumé v1.5.npz", "resume_v1.5.npz"),
        ("<img src=x>.onnx", "img_src_x_.onnx".replace("_.", ".")),
        ("=cmd|' /C calc'!A0.csv", "C_calc_A0.csv"),
        ("x" * 300 + ".safetensors", "x" * 47 + ".safetensors"),
    ],
)
def test_names_of_files_are_cleaned(given: str, clean: str) -> None:
    assert file_name(given) == clean


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_EXPLORER_HOST_SESSIONS", "7")
    assert HostLimits.from_environment(hosted=True) == HostLimits(sessions=7, upload_bytes=100 * limits.MB)
    for text in ("many", "0"):
        monkeypatch.setenv("PRUNING_EXPLORER_HOST_SESSIONS", text)
        with pytest.raises(PruningError, match="PRUNING_EXPLORER_HOST_SESSIONS"):
            HostLimits.from_environment(hosted=False)


# ---- the route

HOST = "http://127.0.0.1:8501"
COOKIE = visitors.new()
OWNER = visitors.owner_of({visitors.COOKIE: COOKIE})
GOOD = {"origin": HOST, "x-pruning-explorer": "upload", "cookie": f"{visitors.COOKIE}={COOKIE}"}


def put(uploads: Uploads, content: object, name: str = "net.onnx", **headers: str | None) -> httpx.Response:
    async def ask() -> httpx.Response:
        given = {key: value for key, value in (GOOD | headers).items() if value is not None}
        transport = httpx.ASGITransport(Starlette(routes=list(upload_route.routes(uploads))))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            return await client.put(f"/api/upload/{name}", content=content, headers=given)  # type: ignore[arg-type]

    return asyncio.run(ask())


def test_a_file_comes_in_parts(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_route, "PART", 1024)

    async def parts() -> AsyncIterator[bytes]:
        for number in range(7):
            yield bytes([number]) * 500

    answer = put(uploads, parts())
    assert answer.status_code == 201
    (upload,) = uploads.of(OWNER)
    assert answer.json() == {"token": upload.token, "name": "net.onnx", "bytes": 3500}
    content = (uploads.folder / upload.token / "net.onnx").read_bytes()
    assert content == b"".join(bytes([number]) * 500 for number in range(7))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": None},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"x-pruning-explorer": None},
        {"cookie": None},
        {"cookie": f"{visitors.COOKIE}=guess"},
    ],
)
def test_only_a_page_of_ours_with_a_visitor_sends_files(uploads: Uploads, headers: dict[str, str | None]) -> None:
    answer = put(uploads, b"x", **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "E621")
    assert list(uploads.folder.iterdir()) == []


def test_a_file_too_large_is_refused_by_what_it_announces_and_by_what_comes(uploads: Uploads) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for number in range(10_000):
            assert number < 10, "it was read on"
            yield b"x" * 1024

    upload_route_part, upload_route.PART = upload_route.PART, 1024
    try:
        for content in (b"x" * 4001, endless()):
            answer = put(uploads, content)
            assert (answer.status_code, answer.json()["code"]) == (413, "E601")
            assert "upload_bytes, 4.0 KB" in answer.json()["sentence"]
    finally:
        upload_route.PART = upload_route_part
    assert list(uploads.folder.iterdir()) == []


def test_an_upload_that_stalls_is_given_up(uploads: Uploads) -> None:
    uploads.limits = replace(SMALL, stall_seconds=1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    answer = put(uploads, slow())
    assert (answer.status_code, answer.json()["code"]) == (400, "E602")
    assert list(uploads.folder.iterdir()) == []


def test_an_empty_file_is_refused(uploads: Uploads) -> None:
    assert put(uploads, b"").json()["code"] == "E602"
    assert list(uploads.folder.iterdir()) == []


def test_a_visitor_is_known_by_a_hash_of_his_cookie() -> None:
    assert COOKIE not in OWNER
    assert len(OWNER) == 32
    assert visitors.owner_of({}) == visitors.owner_of({visitors.COOKIE: "short"}) == ""
    scope = SimpleNamespace(get=lambda _: "https")
    assert visitors.cookie(scope, "a", "b", "Strict").endswith("; HttpOnly; SameSite=Strict; Secure")  # type: ignore[arg-type]
