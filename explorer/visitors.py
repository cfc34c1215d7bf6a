"""Who a visitor is: a random number in a cookie, which page and routes see, and scripts of a page do not.

Only its hash is kept, in memory and on disk, so that what lies there lets nobody in.
"""

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256

from starlette.requests import cookie_parser
from starlette.types import Scope

COOKIE = "pruning_explorer_visitor"
DAYS = 30
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def new() -> str:
    """Return the cookie of a new visitor, 256 random bits."""
    return secrets.token_urlsafe(32)


def owner_of(cookies: Mapping[str, str]) -> str:
    """Return the name under which a visitor's files are kept; empty for one without the cookie."""
    cookie = str(cookies.get(COOKIE, ""))
    return sha256(cookie.encode()).hexdigest()[:32] if _FORM.fullmatch(cookie) else ""


def cookie(scope: Scope, name: str, value: str, same_site: str) -> str:
    """Return a cookie that scripts do not see, as a header."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Max-Age={DAYS * 86400}; Path=/; HttpOnly; SameSite={same_site}{secure}"


def cookies_of(scope: Scope) -> dict[str, str]:
    """Return the cookies of a request."""
    headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    return cookie_parser("; ".join(headers))
