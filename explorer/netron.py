"""Netron's viewer on the app's own origin: one unguessable, revocable token per published ONNX file.

Only the published file and Netron's own scripts are served. The page is rewritten so that Netron neither phones home
nor asks anything: no version and date (telemetry, update wall), a consent cookie (ipinfo.io, cookie box), no link out.
"""

import re
import secrets
import threading
from importlib.metadata import distribution
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from explorer import visitors

# Not by import: while a page runs, Streamlit has this folder on sys.path, and "netron" would be this file.
NETRON = Path(str(distribution("netron").locate_file("netron")))
FILE_NAME = "model.onnx"  # never the user's: it is written into the page
MEDIA_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
CSP = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_published: dict[str, tuple[Path, str]] = {}
_lock = threading.Lock()


def publish(path: Path, owner: str = "") -> str:
    """Serve one ONNX file to whoever knows the token that is returned and, where an owner is named, is that visitor.

    The page is at `address(token)`.
    """
    path = Path(path).resolve(strict=True)
    token = secrets.token_urlsafe(24)
    with _lock:
        _published[token] = (path, owner)
    return token


def revoke(token: str) -> None:
    """Stop serving the file of `token`; an unknown token is no error."""
    with _lock:
        _published.pop(token, None)


def address(token: str) -> str:
    """Return the address of the viewer page, relative to the server's root."""
    return f"/netron/{token}/index.html"


def _page() -> str:
    html = (NETRON / "index.html").read_text("utf-8")
    html, found = re.subn(
        r'<meta name="version" content="[^"]*">',
        '<meta name="type" content="Python">\n<meta name="version" content="0.0.0">\n'
        f'<meta name="file" content="data/{FILE_NAME}">\n<meta name="identifier" content="{FILE_NAME}">',
        html,
    )
    if found != 1:
        raise RuntimeError("this version of Netron has another index.html; tested with 9.3.3")
    html = re.sub(r'<meta name="date" content="[^"]*">\n?', "", html)
    # The menu opens other files and links out: the app has its own controls for what is shown.
    return html.replace("</head>", "<style>#menu-button, #logo-github { display: none }</style>\n</head>", 1)


def _browser_script() -> str:
    """Return Netron's browser.js without the one line that leaves the page."""
    script = (NETRON / "browser.js").read_text("utf-8")
    return script.replace("window.location = url;", "")


def _index(token: str) -> Response:
    response = HTMLResponse(_page(), headers={**HEADERS, "Cache-Control": "no-store"})
    response.set_cookie("consent", "1", path=f"/netron/{token}/", samesite="strict")
    return response


def _asset(name: str) -> Response | None:
    headers = {**HEADERS, "Cache-Control": "private, max-age=3600"}
    if name == "browser.js":
        return Response(_browser_script(), media_type=MEDIA_TYPES[".js"], headers=headers)
    file = NETRON / name
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.[a-z]+", name) or file.suffix not in MEDIA_TYPES or not file.is_file():
        return None
    return FileResponse(file, media_type=MEDIA_TYPES[file.suffix], headers=headers)


async def viewer(request: Request) -> Response:
    """Answer one request below /netron/<token>/; anything unknown is a plain 404."""
    token, rest = request.path_params["token"], request.path_params["rest"]
    path, owner = _published.get(token, (None, ""))
    if owner and visitors.owner_of(request.cookies) != owner:
        path = None
    if path is not None and rest in ("", "index.html"):
        return _index(token)
    if path is not None and rest == f"data/{FILE_NAME}" and path.is_file():
        headers = {**HEADERS, "Cache-Control": "no-store"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)
    answer = _asset(rest) if path is not None else None
    return answer or PlainTextResponse("Not found", 404, headers=HEADERS)


ROUTES = [Route("/netron/{token}/{rest:path}", viewer, methods=["GET", "HEAD"])]
