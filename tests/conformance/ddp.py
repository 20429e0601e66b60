"""A plain DDP client for tests: it knows the protocol's frames and nothing of Hubbub."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.leaks import keep_secret
from tests.waiting import eventually

Frame = dict[str, Any]

_CONNECT = {"msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"]}

SESSIONS: set[str] = set()
"""Every session id that a client of this run was given: credentials, found nowhere else."""


class CallFailed(Exception):
    """A `result` or `nosub` with an error."""

    def __init__(self, error: Frame) -> None:
        super().__init__(error.get("message"))
        self.error = error
        self.code = error.get("error")


class Ddp:
    """One socket and everything that ever arrived on it."""

    def __init__(self, socket: ClientConnection, *, sockjs: bool = False) -> None:
        self.socket = socket
        self.sockjs = sockjs
        self.texts: list[str] = []
        self.frames: list[Frame] = []
        self.session = ""
        self.user_id = ""
        self.token = ""
        self._ids = itertools.count(1)

    async def read(self) -> None:
        """Collect frames until the socket closes."""
        try:
            async for text in self.socket:
                assert isinstance(text, str)
                self.texts.append(text)
                if not self.sockjs:
                    self.frames.append(json.loads(text))
                elif text.startswith("a"):
                    self.frames.extend(json.loads(item) for item in json.loads(text[1:]))
        except ConnectionClosed:
            return

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code

    async def send(self, *messages: Frame) -> None:
        for message in messages:
            await self.send_text(json.dumps(message))

    async def send_text(self, text: str) -> None:
        await self.socket.send(json.dumps([text]) if self.sockjs else text)

    def next_id(self) -> str:
        return str(next(self._ids))

    def find(self, **wanted: Any) -> Frame | None:
        """The first frame that has all of these keys and values."""
        return next(iter(self.all(**wanted)), None)

    def all(self, **wanted: Any) -> list[Frame]:
        return [
            frame
            for frame in self.frames
            if all(frame.get(key) == value for key, value in wanted.items())
        ]

    async def wait(self, *, within: float = 10.0, **wanted: Any) -> Frame:
        """The first frame with these keys and values, waited for."""
        found = await eventually(lambda: self.find(**wanted), within=within, what=f"{wanted}")
        assert found is not None
        return found

    async def wait_ready(self, subscription: str, within: float = 10.0) -> None:
        await self.wait(msg="ready", subs=[subscription], within=within)

    async def connect(self, session: str | None = None) -> str:
        offered = {} if session is None else {"session": session}
        await self.send({**_CONNECT, **offered})
        connected = await self.wait(msg="connected")
        self.session = connected["session"]
        SESSIONS.add(self.session)
        return self.session

    async def answer(self, call_id: Any, within: float = 15.0) -> Frame:
        """The `result` of a call, after its `updated` has come too."""
        await self.wait(msg="updated", methods=[call_id], within=within)
        found = self.find(msg="result", id=call_id)
        assert found is not None
        return found

    async def call(self, method: str, *params: Any, within: float = 15.0) -> Any:
        """Call a method; its result, or None where there is none. Raises: CallFailed."""
        call_id = self.next_id()
        await self.send({"msg": "method", "id": call_id, "method": method, "params": list(params)})
        frame = await self.answer(call_id, within)
        if "error" in frame:
            raise CallFailed(frame["error"])
        return frame.get("result")

    async def login(self, username: str, password: str) -> Frame:
        digest = hashlib.sha256(password.encode()).hexdigest()
        result: Frame = await self.call(
            "login",
            {
                "user": {"username": username},
                "password": {"digest": digest, "algorithm": "sha-256"},
            },
        )
        self.user_id, self.token = result["id"], keep_secret(result["token"])
        return result

    async def subscribe(self, name: str, *params: Any, id: str | None = None) -> str:  # noqa: A002
        """Subscribe and wait for `ready`; the subscription's id. Raises: CallFailed."""
        subscription = id or f"s{self.next_id()}"
        await self.send({"msg": "sub", "id": subscription, "name": name, "params": list(params)})
        await eventually(
            lambda: (
                self.find(msg="ready", subs=[subscription])
                or self.find(msg="nosub", id=subscription)
            ),
            within=15.0,
            what=f"ready or nosub of {name} {params}",
        )
        refused = self.find(msg="nosub", id=subscription)
        if refused is not None and not self.find(msg="ready", subs=[subscription]):
            raise CallFailed(refused.get("error", {}))
        return subscription

    async def unsubscribe(self, subscription: str) -> Frame:
        await self.send({"msg": "unsub", "id": subscription})
        return await self.wait(msg="nosub", id=subscription)

    def events(self, stream: str, key: str) -> list[list[Any]]:
        """The `args` of every event of a stream and event name, in order of arrival."""
        return [
            frame["fields"]["args"]
            for frame in self.frames
            if frame.get("msg") == "changed"
            and frame.get("collection") == f"stream-{stream}"
            and frame["fields"].get("eventName") == key
        ]

    async def event(
        self,
        stream: str,
        key: str,
        matching: Callable[..., Any] = lambda *_: True,
        within: float = 10.0,
    ) -> list[Any]:
        """The first event whose arguments satisfy `matching`, waited for."""

        def first() -> list[Any]:
            return next((args for args in self.events(stream, key) if matching(*args)), [])

        return await eventually(first, within=within, what=f"event {stream} {key}")

    async def settle(self) -> None:
        """Return when everything sent so far has been handled by the server."""
        ping = f"settle-{self.next_id()}"
        await self.send({"msg": "ping", "id": ping})
        await self.wait(msg="pong", id=ping)

    async def closed(self, within: float = 10.0) -> int:
        """Wait for the server to close; the code."""
        async with asyncio.timeout(within):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def opened(url: str, *, handshake: bool = True, sockjs: bool = False) -> AsyncIterator[Ddp]:
    """An open socket whose frames are being collected; connected unless told otherwise."""
    async with connect(url, max_size=None, ping_interval=None, proxy=None) as socket:
        client = Ddp(socket, sockjs=sockjs)
        reader = asyncio.create_task(client.read(), name="ddp-reader")
        try:
            if handshake:
                await client.connect()
            yield client
        finally:
            await socket.close()
            await reader
