"""PUT /api/upload/NAME: a file goes to disk part by part, never whole through memory; checked while it comes.

A form of another site cannot send it: the Origin has to be ours, and a header that only a script of ours can set has to
be there. The visitor's cookie says whose the file is.
"""

import asyncio
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from explorer import arrivals, visitors
from explorer.uploads import Transfer, Uploads
from pruning_core.errors import FileRefused

HEADER = "X-Pruning-Explorer"
PART = 1 << 20  # bytes that are collected before they are written
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
}
STATUS = {"E601": 413, "E620": 507, "E622": 429}


def routes(uploads: Uploads) -> list[Route]:
    """Return the route that takes files into `uploads`."""

    async def put(request: Request) -> Response:
        if (refusal := _not_from_our_page(request)) is not None:
            return refusal
        owner = visitors.owner_of(request.cookies)
        if not owner:
            return _refusal(403, "E621", "this browser keeps no cookie, so nobody would own the file; allow cookies")
        transfer: Transfer | None = None
        try:
            length = request.headers.get("content-length")
            announced = int(length) if length and length.isdecimal() else None
            transfer = await to_thread.run_sync(uploads.begin, owner, request.path_params["name"], announced)
            await to_thread.run_sync(arrivals.warm)  # while the file comes
            await _receive(request, transfer, uploads.limits.stall_seconds)
            upload = await to_thread.run_sync(transfer.finish)
            transfer = None
        except FileRefused as error:
            return _refusal(STATUS.get(error.code, 400), error.code, str(error))
        except (ClientDisconnect, TimeoutError):
            return _refusal(400, "E602", "the upload ended before the file did; choose the file again")
        finally:
            if transfer is not None:
                await to_thread.run_sync(transfer.drop)
        answer = {"token": upload.token, "name": upload.name, "bytes": upload.n_bytes}
        return JSONResponse(answer, 201, headers=HEADERS)

    return [Route("/api/upload/{name}", put, methods=["PUT"])]


async def _receive(request: Request, transfer: Transfer, waiting: float) -> None:
    parts = bytearray()
    stream = request.stream().__aiter__()
    while (part := await asyncio.wait_for(anext(stream, None), waiting)) is not None:
        parts += part
        if len(parts) >= PART:
            await to_thread.run_sync(transfer.write, bytes(parts))
            parts.clear()
    await to_thread.run_sync(transfer.write, bytes(parts))


def _not_from_our_page(request: Request) -> Response | None:
    origin = urlsplit(request.headers.get("origin", ""))
    if origin.netloc != request.headers.get("host") or not origin.netloc or HEADER not in request.headers:
        return _refusal(403, "E621", "this request does not come from a page of this server; upload the file there")
    return None


def _refusal(status: int, code: str, sentence: str) -> JSONResponse:
    headers = HEADERS | ({"Connection": "close"} if status != 403 else {})  # what else would come is not read
    return JSONResponse({"code": code, "sentence": sentence}, status, headers=headers)
