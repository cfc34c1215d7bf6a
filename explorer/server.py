"""The server: Streamlit's app with our own routes, on one port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
import torch
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from explorer import jobs, netron, theme
from explorer.settings import SETTINGS

SCRIPT = Path(__file__).with_name("app.py").resolve()


def health(_: Request) -> JSONResponse:
    """Answer for health checks of containers and tests."""
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Stop what runs in the background when the server ends."""
    torch.set_num_threads(1)  # one core for each job; two spinning threads are slower than one under load
    yield {}
    jobs.stop_all()


def application() -> st.App:
    """Return the application with its routes."""
    return st.App(SCRIPT, routes=[Route("/api/health", health), *netron.ROUTES], lifespan=lifespan)


def serve(
    model: str | None = None,
    data: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    open_browser: bool = True,
    workers: int = 1,
) -> None:
    """Run the app until it is stopped."""
    SETTINGS.model, SETTINGS.data = model, data
    SETTINGS.workers = workers
    SETTINGS.local = host in ("127.0.0.1", "::1", "localhost")
    config: dict[str, Any] = theme.CONFIG | {
        "server.address": host,
        "server.port": port,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.minCachedMessageSize": 1e12,  # a message named by hash that the page does not hold ends in a dialog
        "runner.postScriptGC": False,  # a full collection after every rerun: 0.27 s with torch loaded, measured
    }
    if not open_browser:
        config["server.headless"] = True
    try:
        application().run(config=config)
    except KeyboardInterrupt:
        return
