"""A visitor without a browser: the messages that a page exchanges with the server, over the same WebSocket."""

import asyncio
import itertools
import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

PREFIX = "pruning_explorer_"
ANSWER_WITHIN = 3.0  # seconds until a message is sent again, as the components do


@dataclass
class Component:
    """One component of ours on the page: what to name in an answer, and what it was last given."""

    id: str
    fragment: str
    data: dict[str, Any]


@dataclass(eq=False)
class Visitor:
    """One page that is open; what it shows stands in `components`."""

    address: str  # http://127.0.0.1:8501
    cookie: str = ""
    components: dict[str, Component] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # of warnings and Markdown in the newest run

    async def come(self, link: str = "") -> None:
        """Open the page and wait until its first run has ended."""
        if not self.cookie:
            self.cookie = await asyncio.to_thread(self._asked_for_cookie)
        self._seq = itertools.count(1)
        headers = {"Cookie": self.cookie}
        self._socket: ClientConnection = await connect(
            f"{self.address.replace('http', 'ws')}/_stcore/stream",
            origin=self.address,  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers=headers,
            max_size=None,
        )
        self._changed = asyncio.Condition()
        self._ended = 0  # runs of the script
        self._news: dict[str, int] = {}  # component -> how often it was drawn
        self._listening = asyncio.create_task(self._listen())
        self._query = f"s={link}" if link else ""
        await self._run("", "", {})

    async def leave(self) -> None:
        """Close the page."""
        self._listening.cancel()
        await self._socket.close()

    def _asked_for_cookie(self) -> str:
        with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=30) as answer:
            return "; ".join(cookie.split(";")[0] for cookie in answer.headers.get_all("Set-Cookie", []))

    # ---- what a visitor does

    async def drag(self, changes: dict[str, Any], patience: float = 60) -> float:
        """Move sliders of the mixer; return the seconds until the headline shows it."""
        return await self._told("mixer", "drag", {"changes": changes}, "headline", patience, is_state=True)

    async def commit(self, changes: dict[str, Any], patience: float = 60) -> float:
        """Release them; return the seconds until the headline shows it."""
        return await self._told("mixer", "commit", {"changes": changes}, "headline", patience)

    async def command(self, command: dict[str, Any], patience: float = 60) -> float:
        """Press a button of the mixer."""
        return await self._told("mixer", "command", command, "headline", patience)

    async def tick(self) -> None:
        """Ask for news, as the headline does while something is measured."""
        if self.components["headline"].data.get("refresh") is not None:
            await self._told("headline", "tick", {"at": time.time()}, "headline", 60)

    async def _told(
        self,
        component: str,
        event: str,
        value: dict[str, Any],
        answered_by: str,
        patience: float,
        is_state: bool = False,
    ) -> float:
        target = self.components[component]
        value = value | {"seq": next(self._seq) + int(1000 * time.time())}
        before, started = self._news.get(answered_by, 0), time.perf_counter()
        content = {target.id: ("json_value", json.dumps({event: value}))}
        if not is_state:
            payload = json.dumps([{"event": event, "value": value}])
            content = {_make_trigger_id(target.id, "events"): ("json_trigger_value", payload)}
        while True:
            await self._send(target.fragment, content)
            try:
                await self._wait(lambda: self._news.get(answered_by, 0) > before, ANSWER_WITHIN)
                return time.perf_counter() - started
            except TimeoutError:  # of two triggers at a time Streamlit keeps the newer: pages ask again, too
                if time.perf_counter() > started + patience:
                    raise

    # ---- messages

    async def _run(self, fragment: str, query: str, content: dict[str, tuple[str, str]]) -> None:
        before = self._ended
        await self._send(fragment, content)
        await self._wait(lambda: self._ended > before, 180)

    async def _wait(self, seen: Callable[[], bool], patience: float) -> None:
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait_for(lambda: seen() or self._listening.done())
        if not seen():
            raise ConnectionError(f"the server is gone: {self.errors}")

    async def _send(self, fragment: str, content: dict[str, tuple[str, str]]) -> None:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        if fragment:
            message.rerun_script.fragment_id = fragment
        for name, (kind, value) in content.items():
            widget = message.rerun_script.widget_states.widgets.add()
            widget.id = name
            setattr(widget, kind, value)
        await self._socket.send(message.SerializeToString())

    async def _listen(self) -> None:
        try:
            async for raw in self._socket:
                message = ForwardMsg()
                message.ParseFromString(raw)  # type: ignore[arg-type]
                async with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._wake()))

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "script_finished":
            self._ended += 1
        elif kind == "new_session":
            self.text.clear()
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "delta":
            self._take_element(message)

    def _take_element(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.errors.append(element.exception.message)
        elif kind in ("markdown", "alert"):
            self.text.append(getattr(element, kind).body)
        elif kind == "bidi_component":
            drawn = element.bidi_component
            name = drawn.component_name.rsplit(".", 1)[-1].removeprefix(PREFIX)
            data = json.loads(drawn.json) if drawn.json else {}
            self.components[name] = Component(drawn.id, message.delta.fragment_id, data)
            self._news[name] = self._news.get(name, 0) + 1
