"""`pruning-explorer run`: the app."""

import secrets
import socket
import sys
from dataclasses import dataclass

from pruning_core.errors import PruningError
from pruning_core.loaders import find_model, load_data, load_model

NEW = "new"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 8


@dataclass(frozen=True)
class Hosting:
    """Where the server listens, by which names it is called, and what a visitor has to know."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...] = ()
    access_token: str = ""  # empty: nothing is asked for; `new`: one is made


def run(model: str | None, data: str | None, hosting: Hosting, open_browser: bool, workers: int) -> None:
    """Start the server; names and the port are checked first, since a page is no place to learn of a wrong one."""
    if model is not None:
        find_model(model)
    if data is not None:
        load_data(data, model=None if model is None else load_model(model))
    token = checked_token(hosting.access_token)
    check_free(hosting.host, hosting.port)
    from explorer.server import serve

    if token and hosting.access_token == NEW:
        name = hosting.allowed_hosts[0] if hosting.allowed_hosts else hosting.host
        print(f"Visitors come in by http://{name}:{hosting.port}/?token={token}", file=sys.stderr)
    elif not token and hosting.host not in LOOPBACK:
        print("Whoever reaches this address may use the app; --access-token new asks for a token.", file=sys.stderr)
    options = {"open_browser": open_browser, "workers": workers, "allowed_hosts": hosting.allowed_hosts}
    serve(model, data, host=hosting.host, port=hosting.port, access_token=token, **options)


def checked_token(given: str) -> str:
    """Return the access token, made anew where that is asked for; a short one is refused, since it can be guessed."""
    if given == NEW:
        return secrets.token_urlsafe(18)
    if given and len(given) < SHORTEST_TOKEN:
        enough = f"use {SHORTEST_TOKEN} or more, or `{NEW}`"
        raise PruningError(f"--access-token has {len(given)} characters, which can be guessed; {enough}")
    return given


def check_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).split(" (")[0]
        raise PruningError(f"cannot listen on {host} at port {port}: {reason}; try another --port or --host") from None
