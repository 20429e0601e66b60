"""One DDP socket of the drill. What arrives is noted in the order in which it arrived.

Whoever awaits an answer runs later than the frames that stood in the same packet, so notes are
made by callbacks, before anybody is woken.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.resilience.line import Broken, Document, Failed, Unanswered

ANSWER = 30.0  # seconds; a server that neither answers nor closes for so long has failed
HANDSHAKE = 10.0  # seconds
PING_AFTER = 17.5  # seconds of silence after which Meteor's client asks whether anybody is there
PONG_WITHIN = 15.0  # seconds after which it gives the socket up

Note = Callable[[Document], None]


class Wire:
    """Calls with their answers, and events as they come."""

    def __init__(self, socket: ClientConnection, on_event: Note, on_end: Callable[[str], None]):
        """
        Args:
            on_event: gets every `changed`.
            on_end: gets the id of a subscription that the server ended.
        """
        self._socket = socket
        self._on_event = on_event
        self._on_end = on_end
        self._waiting: dict[str, asyncio.Future[Document]] = {}
        self._notes: dict[str, Note] = {}
        self._ids = itertools.count(1)
        self._heard = time.monotonic()
        self.given_up = False

    @property
    def close_code(self) -> int | None:
        """Of the close frame that came, if one did."""
        frame = self._socket.protocol.close_rcvd
        return int(frame.code) if frame is not None else None

    async def live(self) -> None:
        """Handle what comes until the socket ends; then every waiting call ends too."""
        watching = asyncio.create_task(self._watch(), name="heartbeat")
        try:
            with suppress(ConnectionClosed):
                async for text in self._socket:
                    self._heard = time.monotonic()
                    await self._handle(json.loads(text))
        finally:
            watching.cancel()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Broken())

    async def _watch(self) -> None:
        """Give up a socket from which nothing comes although it was asked."""
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(1.0)
                silent = time.monotonic() - self._heard
                if silent > PING_AFTER + PONG_WITHIN:
                    self.given_up = True
                    self._socket.transport.abort()
                    return
                if PING_AFTER < silent <= PING_AFTER + 1.0:
                    await self._socket.send('{"msg":"ping"}')

    async def _handle(self, message: Document) -> None:
        match message.get("msg"):
            case "changed":
                self._on_event(message)
            case "ping":
                await self._socket.send(json.dumps({**message, "msg": "pong"}))
            case "connected":
                self._answer("connect", message)
            case "nosub" if not self._is_waited_for(message["id"]):
                self._on_end(message["id"])
            case "result" | "nosub":
                self._answer(message["id"], message)
            case "ready":
                for subscription in message["subs"]:
                    self._answer(subscription, message)
            case _:
                pass  # what a client that only talks has no use for

    def _is_waited_for(self, key: str) -> bool:
        """Not what has its answer already, though nobody has come to take it yet."""
        waiting = self._waiting.get(key)
        return waiting is not None and not waiting.done()

    def _answer(self, key: str, message: Document) -> None:
        waiting = self._waiting.get(key)
        if waiting is None or waiting.done():
            return
        note = self._notes.pop(key, None)
        if note is not None and "error" not in message:
            note(message)
        waiting.set_result(message)

    async def connect(self) -> None:
        """Begin the session. Raises: Broken, Unanswered."""
        hello = {"msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"]}
        await self._ask("connect", hello, None)

    async def call(self, method: str, *params: Any, note: Note | None = None) -> Any:
        """A method's result; `note` sees its success first. Raises: Failed, Broken, Unanswered."""
        key = f"m{next(self._ids)}"
        message = {"msg": "method", "id": key, "method": method, "params": list(params)}
        return (await self._ask(key, message, note)).get("result")

    async def subscribe(self, name: str, *params: Any, note: Note | None = None) -> str:
        """Return the subscription's id when it stands. Raises: Failed, Broken, Unanswered."""
        key = f"s{next(self._ids)}"
        message = {"msg": "sub", "id": key, "name": name, "params": list(params)}
        await self._ask(key, message, note)
        return key

    async def _ask(self, key: str, message: Document, note: Note | None) -> Document:
        answer: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        if note is not None:
            self._notes[key] = note
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
            self._notes.pop(key, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, whichever way we left
        if "error" in told:
            raise Failed(told["error"])
        return told


@asynccontextmanager
async def opened(
    url: str, on_event: Note, on_end: Callable[[str], None], *, agent: str | None = None
) -> AsyncIterator[tuple[Wire, asyncio.Task[None]]]:
    """A socket that is being read; the task ends with the socket.

    Args:
        agent: what it calls itself in its first bytes, by which the proxy knows it.
    """
    async with connect(
        url,
        max_size=None,
        ping_interval=None,
        proxy=None,
        open_timeout=HANDSHAKE,
        close_timeout=1,
        user_agent_header=agent,
    ) as socket:
        wire = Wire(socket, on_event, on_end)
        reading = asyncio.create_task(wire.live(), name="wire")
        try:
            yield wire, reading
        finally:
            await socket.close()
            await reading
