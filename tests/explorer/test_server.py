"""The app's own routes beside Streamlit's, without a browser; and Netron's files while a model is kept."""

import asyncio
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from explorer import graphs, netron, server, visitors

HOST = "http://127.0.0.1"


@cache
def application() -> Any:
    """The application; Streamlit allows one in a process."""
    return server.application()


def get(path: str, cookie: str = "") -> httpx.Response:
    async def ask() -> httpx.Response:
        headers = {"cookie": f"{visitors.COOKIE}={cookie}"} if cookie else {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url=HOST) as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_health_answers() -> None:
    answer = get("/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "some.onnx").write_bytes(b"onnx")
    return netron.publish(tmp_path / "some.onnx")


def test_only_the_published_file_and_the_viewer_are_served(token: str) -> None:
    assert get(netron.address(token)).status_code == 200
    assert get(f"/netron/{token}/data/model.onnx").content == b"onnx"
    for path in (
        "some.onnx",
        "..%2f..%2fapi/health",
        "%2e%2e/server.py",
        "__init__.py",
        "server.py",
        "data/other.onnx",
    ):
        assert get(f"/netron/{token}/{path}").status_code in (400, 404), path
    assert get(netron.address("A" * 32)).status_code == 404


def test_the_viewer_may_call_no_other_host(token: str) -> None:
    answer = get(netron.address(token))
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == policy["script-src"] == "'self'"
    assert 'name="version" content="0.0.0"' in answer.text
    assert 'name="date"' not in answer.text


def test_a_revoked_token_serves_nothing(token: str) -> None:
    netron.revoke(token)
    for path in (netron.address(token), f"/netron/{token}/data/model.onnx", f"/netron/{token}/view.js"):
        assert get(path).status_code == 404
    netron.revoke(token)


def test_a_visitors_graph_is_shown_to_no_other(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"onnx")
    mine, other = visitors.new(), visitors.new()
    owned = netron.publish(tmp_path / "some.onnx", visitors.owner_of({visitors.COOKIE: mine}))
    assert get(netron.address(owned), cookie=mine).status_code == 200
    for cookie in (other, ""):
        for path in (netron.address(owned), f"/netron/{owned}/data/model.onnx"):
            assert get(path, cookie=cookie).status_code == 404


def test_the_file_of_a_forgotten_graph_is_deleted() -> None:
    path, nodes = graphs.drawn("lenet_300_100")
    assert path.stat().st_size > 0
    assert set(nodes.values()) == {"fc1", "fc2", "fc3"}
    graphs.drawn.clear()
    assert not path.parent.exists()
