"""The access token of a class: asked for once, then a cookie says that it was known.

The cookie follows from the token; the token does not follow from the cookie.
"""

import asyncio
import secrets
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from explorer import visitors
from explorer.settings import SETTINGS
from explorer.token_page import page

COOKIE = "pruning_explorer_access"
MOST_FORM = 4096  # bytes of the form that brings a token
WRONG_SECONDS = 0.3  # that a wrong token costs; wrong ones of all visitors stand in one line
_wrong = asyncio.Lock()


def granted(cookies: dict[str, str]) -> bool:
    """Whether the visitor gave the token before, or none is asked for."""
    if not SETTINGS.access_token:
        return True
    return secrets.compare_digest(cookies.get(COOKIE, "").encode(), _proof().encode())


async def by_address(scope: Scope) -> Response | None:
    """Answer an address that ends in `?token=`; None where it holds none."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return await _answer(scope, given[0]) if given else None


async def by_form(scope: Scope, headers: Headers, receive: Receive) -> Response:
    """Answer the form of the page that asks for the token."""
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        return PlainTextResponse("Not from a page of this server", 403)
    body, more = b"", True
    while more and len(body) <= MOST_FORM:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return await _answer(scope, parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0])


async def _answer(scope: Scope, given: str) -> Response:
    if not secrets.compare_digest(given.strip().encode(), SETTINGS.access_token.encode()):
        async with _wrong:
            await asyncio.sleep(WRONG_SECONDS)
        return page(wrong=True)
    answer = RedirectResponse("/", 303)  # the token does not stay in the address
    answer.headers.append("set-cookie", visitors.cookie(scope, COOKIE, _proof(), "Lax"))
    return answer


def _proof() -> str:
    return sha256(b"pruning explorer " + SETTINGS.access_token.encode()).hexdigest()
