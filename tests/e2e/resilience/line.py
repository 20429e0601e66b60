"""One DDP socket: calls with their answers, and events as they come. Knows only the protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Document = dict[str, Any]

ANSWER = 30.0  # seconds; a server that neither answers nor closes for so long has failed
HANDSHAKE = 15.0  # seconds


class Broken(Exception):
    """The socket has ended."""


class Unanswered(Exception):
    """No answer within `ANSWER` seconds, although the socket stayed open."""


class Failed(Exception):
    """An error answer."""

    def __init__(self, error: Document) -> None:
        super().__init__(json.dumps(error))
        self.code = error.get("error")


class Line:
    """One socket. `on_event` gets the fields of every `changed`, the moment it is read."""

    def __init__(self, socket: ClientConnection, on_event: Callable[[str, Document], None]) -> None:
        self._socket = socket
        self._on_event = on_event
        self._waiting: dict[str, asyncio.Future[Document]] = {}
        self._ids = itertools.count(1)

    async def read(self) -> None:
        """Handle what comes until the socket ends; then every waiting call ends too."""
        try:
            async for text in self._socket:
                await self._handle(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Broken())

    async def _handle(self, message: Document) -> None:
        match message.get("msg"):
            case "changed":
                self._on_event(message["collection"], message["fields"])
            case "ping":
                await self._socket.send(json.dumps({**message, "msg": "pong"}))
            case "connected":
                self._answer("connect", message)
            case "result" | "nosub":
                self._answer(message["id"], message)
            case "ready":
                for subscription in message["subs"]:
                    self._answer(subscription, message)
            case _:
                pass  # what a client that only talks has no use for

    def _answer(self, key: str, message: Document) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def connect(self) -> None:
        """Begin the session."""
        hello = {"msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"]}
        await self._ask("connect", hello)

    async def call(self, method: str, *params: Any) -> Any:
        """A method's result. Raises: Failed, Broken, Unanswered."""
        key = f"m{next(self._ids)}"
        answer = await self._ask(
            key, {"msg": "method", "id": key, "method": method, "params": list(params)}
        )
        return answer.get("result")

    async def subscribe(self, name: str, *params: Any) -> None:
        """Return when the subscription is ready. Raises: Failed, Broken, Unanswered."""
        key = f"s{next(self._ids)}"
        await self._ask(key, {"msg": "sub", "id": key, "name": name, "params": list(params)})

    async def _ask(self, key: str, message: Document) -> Document:
        answer: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        try:
            async with asyncio.timeout(ANSWER):
                await self._socket.send(json.dumps(message))
                told = await answer
        except ConnectionClosed:
            raise Broken from None
        except TimeoutError:
            what = message.get("method") or message.get("name") or key
            raise Unanswered(f"{what}: no answer for {ANSWER:g} s") from None
        finally:
            del self._waiting[key]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, whichever way we left
        if "error" in told:
            raise Failed(told["error"])
        return told


@asynccontextmanager
async def opened(
    url: str, on_event: Callable[[str, Document], None]
) -> AsyncIterator[tuple[Line, asyncio.Task[None], ClientConnection]]:
    """A socket that is being read; the task ends with the socket."""
    async with connect(
        url, max_size=None, ping_interval=None, proxy=None, open_timeout=HANDSHAKE, close_timeout=2
    ) as socket:
        line = Line(socket, on_event)
        reading = asyncio.create_task(line.read(), name="line")
        try:
            yield line, reading, socket
        finally:
            await socket.close()
            await reading
