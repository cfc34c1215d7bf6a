"""What every request passes first: host, token, cookie, headers, and websockets."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from streamlit import config

from explorer import access, gate, sessions, visitors
from explorer.commands.start import Hosting, checked_token
from explorer.settings import SETTINGS
from pruning_core.errors import PruningError

HOST = "class.example:8501"
TOKEN = "correct horse"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind the gate: its answer is `inside`; a websocket is accepted."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await PlainTextResponse(f"inside {Request(scope).url.path}")(scope, receive, send)


def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(gate.Gate(inside))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            content = headers.pop("content", None)
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(send())


def talk(**headers: str) -> str:
    """Return how a websocket's handshake is answered."""
    sent: list[Message] = []
    raw = [(name.encode(), value.encode()) for name, value in ({"host": HOST} | headers).items()]
    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": raw, "query_string": b"", "scheme": "ws"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(gate.Gate(inside)(scope, receive, send))
    return str(sent[0]["type"])


@pytest.fixture(autouse=True)
def _hosted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(SETTINGS, "local", False)
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)
    monkeypatch.setattr(access, "_wrong", asyncio.Lock())
    before = config.get_option("server.allowedHosts")
    yield
    config.set_option("server.allowedHosts", before)


def test_every_answer_carries_the_headers() -> None:
    answer = ask("/")
    assert answer.text == "inside /"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'self'"
    assert policy["connect-src"] == f"'self' ws://{HOST} wss://{HOST}"
    assert re.fullmatch(r"'self' blob:( 'sha256-[\w+/=]+')+", policy["script-src"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8501", "class.example.evil", ""])
def test_a_server_is_called_by_the_names_it_was_given(host: str) -> None:
    config.set_option("server.allowedHosts", ["class.example"])
    assert ask("/").status_code == 200
    assert ask("/", host=host).status_code == 403
    assert talk(host=host, origin=f"http://{host}") == "websocket.close"


@pytest.mark.parametrize("path", ["/_stcore/upload_file/a/b", "/_stcore/agent/openapi.json", "/_stcore/metrics"])
def test_what_the_app_does_not_use_is_closed(path: str) -> None:
    assert ask(path).status_code == 404
    assert ask(path, "PUT", content="x").status_code == 404


def test_a_websocket_comes_from_a_page_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert talk(origin=f"http://{HOST}") == talk(origin=f"https://{HOST}") == "websocket.accept"
    for origin in ("http://evil.example", "null", f"http://{HOST}.evil.example"):
        assert talk(origin=origin) == "websocket.close"
    assert talk() == "websocket.close"
    monkeypatch.setattr(SETTINGS, "local", True)
    assert talk() == "websocket.accept"


def test_far_too_many_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "limits", replace(SETTINGS.limits, sessions=1))
    with sessions.counted():
        assert not sessions.is_full()
        assert talk(origin=f"http://{HOST}") == "websocket.accept"
        with sessions.counted():
            assert sessions.is_full()
            assert talk(origin=f"http://{HOST}") == "websocket.close"
    assert sessions.n_open() == 0


# ---- the visitor's cookie


def test_a_page_that_asks_is_given_a_cookie_once_and_a_link_to_it_never_changes_it() -> None:
    given = ask("/_stcore/health").headers["set-cookie"]
    assert given.startswith(f"{visitors.COOKIE}=")
    assert given.endswith("; Path=/; HttpOnly; SameSite=Strict")
    cookie = given.split(";")[0]
    assert visitors.owner_of({visitors.COOKIE: cookie.split("=")[1]})
    assert "set-cookie" not in ask("/_stcore/health", cookie=cookie).headers
    for path in ("/", "/export", "/_stcore/health"):  # a link from elsewhere comes without the cookie
        assert "set-cookie" not in ask(path, accept="text/html,*/*").headers


# ---- the access token


@pytest.fixture
def _guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "access_token", TOKEN)


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].split(";")[0]


@pytest.mark.usefixtures("_guarded")
def test_without_the_token_there_is_one_page_and_nothing_else() -> None:
    page = ask("/", accept="text/html")
    assert page.status_code == 401
    assert "Access token of this server" in page.text
    assert "script" not in page.headers["content-security-policy"]
    for path in ("/static/js/index.js", "/netron/a/index.html", "/api/upload/x", "/_stcore/host-config"):
        assert ask(path).status_code == 403, path
    assert talk(origin=f"http://{HOST}") == "websocket.close"
    assert ask("/api/health").status_code == 200  # of containers


@pytest.mark.usefixtures("_guarded")
@pytest.mark.parametrize("way", ["address", "form"])
def test_the_token_opens_the_app_by_its_address_and_by_the_form(way: str) -> None:
    def enter(token: str) -> httpx.Response:
        if way == "address":
            return ask(f"/?token={token.replace(' ', '+')}")
        return ask("/", "POST", origin=f"http://{HOST}", content=f"token={token.replace(' ', '+')}")

    answer = enter(TOKEN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = cookie_of(answer)
    assert TOKEN not in cookie
    assert ask("/", cookie=cookie).text == "inside /"
    assert talk(origin=f"http://{HOST}", cookie=cookie) == "websocket.accept"
    wrong = enter("wrong horse")
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
    assert "That is not the token" in wrong.text
    assert ask("/", cookie=f"{access.COOKIE}=guess").status_code == 403


@pytest.mark.usefixtures("_guarded")
def test_the_form_of_another_site_is_not_answered() -> None:
    answer = ask("/", "POST", origin="http://evil.example", content=f"token={TOKEN.replace(' ', '+')}")
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    assert checked_token("") == ""
    assert checked_token("long enough") == "long enough"
    assert len(checked_token("new")) == 24
    assert checked_token("new") != checked_token("new")
    with pytest.raises(PruningError, match="7 characters"):
        checked_token("classes"[:7])
    assert Hosting("0.0.0.0", 8501).access_token == ""


def test_a_strange_cookie_of_another_app_hides_none_of_ours() -> None:
    scope: dict[str, Any] = {"headers": [(b"cookie", b"x=\xff{=;;b;a=1"), (b"cookie", b"d=2")]}
    found = visitors.cookies_of(scope)
    assert (found["a"], found["d"]) == ("1", "2")
