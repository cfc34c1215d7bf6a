"""`pruning-explorer run`: the app."""

from explorer.commands import shown
from pruning_core.loaders import find_model, load_data


def run(model: str | None, data: str | None, host: str, port: int, open_browser: bool) -> None:
    """Start the server; names are checked first, since a page is no place to learn of a misspelt one."""
    if model is not None:
        find_model(model)
    if data is not None:
        load_data(data)
    from explorer.server import serve

    shown.note(f"the app is at http://{host}:{port} (Ctrl+C stops it)")
    serve(model, data, host=host, port=port, open_browser=open_browser)
