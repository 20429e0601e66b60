"""Sends cases of the corpus to a running Hubbub and says what came of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from yarl import URL

from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.ddp import Ddp, opened
from tests.conformance.rest import Rest, User
from tests.corpus import Case, filled
from tests.integration.gateway.rubbish import tells_how_it_went

WITHIN: Final = 15.0  # seconds that any answer may take
FRAMES: Final = 300  # that a socket sends; a client may send 500 at once

Outcome = dict[str, Any]


@dataclass
class World:
    """Users, rooms, messages, and the sockets that the cases share."""

    hubbub: Running
    session: aiohttp.ClientSession
    names: Mapping[str, str]
    me: User
    other: User
    sockets: dict[str, Ddp]
    """Of `me`, and of a `neighbour` that nothing may happen to."""
    stack: AsyncExitStack
    """Where the sockets are open."""

    async def outcomes(self, case: Case) -> dict[str, Outcome]:
        """What came of it, by the door that it went through."""
        sent = filled(dict(case.sent), self.names)
        match case.surface:
            case "method":
                async with self._socket(sent) as socket:
                    doors = {"socket": await self._method(socket, sent)}
                if sent.get("only") != "socket":
                    doors["method.call"] = await self._method_call(sent)
                return doors
            case "sub":
                async with self._socket(sent) as socket:
                    return {"socket": await self._sub(socket, sent)}
            case "rest":
                return {"rest": await self._rest(sent)}
            case "http":
                return {"http": await self._http("".join(sent["text"]).encode())}
            case _:
                raise ValueError(case.surface)

    async def all_are_well(self) -> None:
        """Every socket answers. Raises: TimeoutError, AssertionError."""
        for name, socket in list(self.sockets.items()):
            assert socket.close_code is None, name
            try:
                await socket.settle()
            except AssertionError as error:
                error.add_note(f"the socket of {name}, close code {socket.close_code}")
                raise
            socket.texts.clear()
            socket.frames.clear()
            if int(socket.next_id()) > FRAMES:
                await self.take_socket(name)

    async def take_socket(self, name: str) -> None:
        """A socket of `me` or of the `neighbour`, in place of the one there may be: one that
        sent a burst has to be slow from then on."""
        if (former := self.sockets.pop(name, None)) is not None:
            await former.socket.close()
        user = self.me if name == "me" else self.other
        socket = await self.stack.enter_async_context(opened(self.hubbub.websocket))
        await socket.call("login", {"resume": user.token})  # which writes nothing
        self.sockets[name] = socket

    @asynccontextmanager
    async def _socket(self, sent: Mapping[str, Any]) -> AsyncIterator[Ddp]:
        """Who sends it. A socket without a login has not long to live, so it is a new one."""
        if sent.get("as") != "nobody":
            yield self.sockets["me"]
            return
        async with opened(self.hubbub.websocket) as socket:
            yield socket
            assert socket.close_code is None
            await socket.settle()

    async def _method(self, socket: Ddp, sent: Mapping[str, Any]) -> Outcome:
        call_id = socket.next_id()
        await socket.send(
            {"msg": "method", "id": call_id, "method": sent["method"], "params": sent["params"]}
        )
        return _result(await socket.answer(call_id, WITHIN))

    async def _method_call(self, sent: Mapping[str, Any]) -> Outcome:
        envelope = {"msg": "method", "id": "1", "method": sent["method"], "params": sent["params"]}
        nobody = sent.get("as") == "nobody"
        async with self.session.post(
            f"{self.hubbub.url}/api/v1/{'method.callAnon' if nobody else 'method.call'}/x",
            json={"message": json.dumps(envelope)},
            headers=None if nobody else self.me.headers,
        ) as answer:
            body = await answer.json()
            assert (answer.status, body["success"]) == (200, True), body
            return _result(json.loads(body["message"]))

    async def _sub(self, socket: Ddp, sent: Mapping[str, Any]) -> Outcome:
        sub_id = f"s{socket.next_id()}"
        await socket.send(
            {"msg": "sub", "id": sub_id, "name": sent["name"], "params": sent["params"]}
        )
        await socket.settle()
        async with asyncio.timeout(WITHIN):
            while True:
                if socket.find(msg="ready", subs=[sub_id]):
                    await socket.unsubscribe(sub_id)
                    return {"ready": True}
                if refused := socket.find(msg="nosub", id=sub_id):
                    return {"nosub": refused["error"]["error"]}
                await socket.settle()

    async def _rest(self, sent: Mapping[str, Any]) -> Outcome:
        query = sent.get("query", "")
        target = f"{self.hubbub.url}/api/v1/{sent['path']}"
        url = URL(f"{target}?{query}" if query and isinstance(query, str) else target, encoded=True)
        if isinstance(query, dict):
            url = URL(target, encoded=True).with_query(query)
        headers = sent.get("headers", {} if sent.get("as") == "nobody" else self.me.headers)
        data = sent.get("raw")
        if "body" in sent:
            data = json.dumps(sent["body"])
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        async with self.session.request(sent["verb"], url, data=data, headers=headers) as answer:
            assert answer.headers["Content-Type"] == "application/json", answer
            body = json.loads(await answer.read())
            assert tells_how_it_went(answer.status, body), body
            found: Outcome = {"status": answer.status}
            if "errorType" in body:
                found["errorType"] = body["errorType"]
            return found

    async def _http(self, data: bytes) -> Outcome:
        address = URL(self.hubbub.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            writer.write(data)
            async with asyncio.timeout(WITHIN):
                with suppress(ConnectionError):  # it did not wait for the end of what was sent
                    await writer.drain()
                line = await _first_line(reader)
            return {"status": int(line.split()[1])} if line else {"closed": True}
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ConnectionError:
        return b""


def _result(frame: Mapping[str, Any]) -> Outcome:
    if "error" in frame:
        return {"error": frame["error"]["error"]}
    # A result that says nothing is told, too: it is how some methods refuse.
    return {"ok": True} if frame.get("result") else {"ok": True, "result": frame.get("result")}


def fits(expected: Mapping[str, Any], found: Outcome) -> bool:
    """Whether that is what has to come. A list of codes stands for any of them."""
    for key, value in expected.items():
        is_choice = isinstance(value, list) and key != "result"
        if found.get(key) not in (value if is_choice else [value]):
            return False
    return "error" in expected or "error" not in found


@asynccontextmanager
async def a_world(
    hubbub: Running, rest: Rest, session: aiohttp.ClientSession
) -> AsyncIterator[World]:
    """Three users: one who calls, one who is beside, and one whose things are hidden."""
    me, other, hidden = [
        await rest.register(f"{name}-{random_id(8).lower()}") for name in ("me", "other", "hidden")
    ]
    suffix = random_id(8).lower()
    room = (
        await rest.post("channels.create", me, name=f"room-{suffix}", members=[other.username])
    )["channel"]
    group = (await rest.post("groups.create", me, name=f"group-{suffix}"))["group"]
    foreign = (
        await rest.post("groups.create", hidden, name=f"foreign-{suffix}", members=[other.username])
    )["group"]
    said = (await rest.post("chat.postMessage", me, roomId=room["_id"], text="said"))["message"]
    secret = (await rest.post("chat.postMessage", hidden, roomId=foreign["_id"], text="secret"))[
        "message"
    ]
    names = {
        "me": me.id,
        "me-name": me.username,
        "other": other.id,
        "other-name": other.username,
        "OTHER-NAME": other.username.upper(),
        "token": me.token,
        "room": room["_id"],
        "room-name": room["name"],
        "ROOM-NAME": room["name"].upper(),
        "group": group["_id"],
        "foreign": foreign["_id"],
        "foreign-name": foreign["name"],
        "message": said["_id"],
        "message-text": said["msg"],
        "foreign-message": secret["_id"],
    }
    async with AsyncExitStack() as stack:
        world = World(hubbub, session, names, me, other, {}, stack)
        for name in ("me", "neighbour"):
            await world.take_socket(name)
        yield world
