"""The server: Streamlit's app with our own routes, on one port."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
import torch
from anyio import to_thread
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from explorer import jobs, netron, theme, upload_route
from explorer.commands.start import LOOPBACK
from explorer.gate import Gate
from explorer.limits import HostLimits
from explorer.settings import SETTINGS
from explorer.uploads import Uploads, own_uploads

SCRIPT = Path(__file__).with_name("app.py").resolve()
SWEEP_SECONDS = 600.0  # between two looks for uploads that are past their time


def health(_: Request) -> JSONResponse:
    """Answer for health checks of containers and tests."""
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Stop what runs in the background when the server ends."""
    torch.set_num_threads(1)  # one core for each job; two spinning threads are slower than one under load
    sweeping = asyncio.create_task(_sweep(own_uploads()))
    yield {}
    sweeping.cancel()
    jobs.stop_all()


async def _sweep(uploads: Uploads) -> None:
    """Delete uploads that are past their time, now and then."""
    while True:
        await to_thread.run_sync(uploads.sweep)
        await asyncio.sleep(SWEEP_SECONDS)


def _is_telling(record: logging.LogRecord) -> bool:
    """Whether a line of Streamlit's log says something: jobs fill its caches from threads of their own, as is meant."""
    return "missing ScriptRunContext" not in record.getMessage()


def application() -> st.App:
    """Return the application with its routes, behind the gate."""
    routes = [Route("/api/health", health), *upload_route.routes(own_uploads()), *netron.ROUTES]
    return st.App(SCRIPT, routes=routes, middleware=[Middleware(Gate)], lifespan=lifespan)


def serve(
    model: str | None = None,
    data: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    open_browser: bool = True,
    workers: int = 1,
    allowed_hosts: Sequence[str] = (),
    access_token: str = "",
) -> None:
    """Run the app until it is stopped."""
    SETTINGS.model, SETTINGS.data = model, data
    SETTINGS.workers = workers
    SETTINGS.local = host in LOOPBACK
    SETTINGS.access_token = access_token
    SETTINGS.limits = HostLimits.from_environment(hosted=not SETTINGS.local)
    # A foreign name that leads to this machine must not let its page in. Reached from afar, any name may be meant.
    names = [*allowed_hosts, *(LOOPBACK if SETTINGS.local or allowed_hosts else ())]
    config: dict[str, Any] = theme.CONFIG | {
        "server.address": host,
        "server.port": port,
        "server.allowedHosts": names,
        "server.maxUploadSize": 1,  # ours go by another route; that of Streamlit holds them in memory and is closed
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.minCachedMessageSize": 1e12,  # a message named by hash that the page does not hold ends in a dialog
        "runner.postScriptGC": False,  # a full collection after every rerun: 0.27 s with torch loaded, measured
    }
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").addFilter(_is_telling)
    if not SETTINGS.local:  # else Streamlit asks a foreign host for our address, to print it
        config["browser.serverAddress"] = allowed_hosts[0] if allowed_hosts else host
    if not open_browser:
        config["server.headless"] = True
    try:
        application().run(config=config)
    except KeyboardInterrupt:
        return
