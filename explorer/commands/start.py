"""`pruning-explorer run`: the app."""

import socket

from pruning_core.errors import PruningError
from pruning_core.loaders import find_model, load_data


def run(model: str | None, data: str | None, host: str, port: int, open_browser: bool, workers: int) -> None:
    """Start the server; names and the port are checked first, since a page is no place to learn of a wrong one."""
    if model is not None:
        find_model(model)
    if data is not None:
        load_data(data)
    check_free(host, port)
    from explorer.server import serve

    serve(model, data, host=host, port=port, open_browser=open_browser, workers=workers)


def check_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).split(" (")[0]
        raise PruningError(f"cannot listen on {host} at port {port}: {reason}; try another --port or --host") from None
