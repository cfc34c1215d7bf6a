"""What every request passes first: the name the server is called by, the access token, who asks, and safe headers.

Pure ASGI, around Streamlit's own routes too. A visitor without the class's token sees one page that asks for it.
"""

import base64
import re
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from explorer import access, sessions, visitors
from explorer.settings import SETTINGS
from explorer.token_page import page

OPEN_TO_ALL = ("/api/health", "/_stcore/health", "/favicon.png")
CLOSED = ("/_stcore/upload_file", "/_stcore/agent", "/_stcore/metrics", "/oauth2callback", "/auth/", "/mcp")


def content_policy(host: str) -> str:
    """Return the policy of the app's pages: what they load and call is this server's alone."""
    html = files("streamlit").joinpath("static/index.html").read_text("utf-8")
    inline = [sha256(script.encode()).digest() for script in re.findall(r"<script>(.*?)</script>", html, re.S)]
    scripts = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in inline)
    return (
        f"default-src 'none'; script-src 'self' blob: {scripts}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; font-src 'self' data:; media-src 'self'; worker-src 'self' blob:; "
        f"connect-src 'self' ws://{host} wss://{host}; frame-src 'self'; manifest-src 'self'; "
        "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
    )


class Gate:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._policies: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with what belongs to its answer, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers, cookies = Headers(scope=scope), visitors.cookies_of(scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            await self._talk(refusal is None and access.granted(cookies), scope, receive, send)
            return
        if refusal is None and scope["path"] not in OPEN_TO_ALL and not access.granted(cookies):
            refusal = await self._asked(scope, headers, receive)
        await (refusal or self._app)(scope, receive, self._dressed(scope, headers, cookies, send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse what nobody may ask."""
        host = headers.get("host")
        if not is_host_allowed(host):
            return PlainTextResponse("This server is not called by that name; start it with --allowed-host.", 403)
        if scope["path"].startswith(CLOSED):
            return PlainTextResponse("Not found", 404)
        if scope["type"] == "websocket" and not SETTINGS.local and urlsplit(headers.get("origin", "")).netloc != host:
            return PlainTextResponse("Not from a page of this server", 403)
        return None

    async def _asked(self, scope: Scope, headers: Headers, receive: Receive) -> Response:
        """Answer a visitor who has not shown the access token yet."""
        if scope["path"] == "/":
            if scope["method"] == "POST":
                return await access.by_form(scope, headers, receive)
            if (answer := await access.by_address(scope)) is not None:
                return answer
        if "text/html" in headers.get("accept", ""):
            return page(wrong=False)
        return PlainTextResponse("The access token is missing; open the app's first page.", 403)

    async def _talk(self, allowed: bool, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a page's connection through while there are not far too many."""
        if not allowed or sessions.n_open() >= 2 * SETTINGS.limits.sessions:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        with sessions.counted():
            await self._app(scope, receive, send)

    def _dressed(self, scope: Scope, headers: Headers, cookies: dict[str, str], send: Send) -> Send:
        """Return `send` which adds headers, and the visitor's cookie where the page itself asks, never a link to it."""
        is_page_asking = scope["path"] in ("/_stcore/health", "/_stcore/host-config") and not visitors.owner_of(cookies)
        is_page_asking = is_page_asking and "text/html" not in headers.get("accept", "")

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in self._headers(headers.get("host", "")).items():
                    answer.setdefault(name, value)
                if is_page_asking:
                    answer.append("set-cookie", visitors.cookie(scope, visitors.COOKIE, visitors.new(), "Strict"))
            await send(message)

        return dressed

    def _headers(self, host: str) -> dict[str, str]:
        host = host if re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host) else "localhost"
        if host not in self._policies:
            self._policies = {host: content_policy(host)}
        return {
            "Content-Security-Policy": self._policies[host],
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        }
