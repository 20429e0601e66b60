"""The people of a conversation: who reads, who writes over a socket, who writes over REST.

They behave as existing clients do. A reader that lost its socket opens another one, signs in
with its token, subscribes again, and then asks what it missed. A writer repeats a message with
the same `_id` until it is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from websockets.exceptions import InvalidHandshake, InvalidMessage

from tests.conformance.rest import User
from tests.e2e.resilience.history import (
    Acked,
    CaughtUp,
    Closed,
    Event,
    Frame,
    History,
    Joined,
    Message,
    Opened,
    Refused,
    Repeated,
    Sent,
    message_of,
)
from tests.e2e.resilience.line import Broken, Document, Failed, Line, Unanswered, opened

RECONNECT = 0.3  # seconds until a lost socket is opened again
REPEAT = 0.25  # seconds until a failed send is repeated
TRY_AGAIN = frozenset({"error-temporarily-unavailable", "error-timeout", 502, 503, 504})
"""Codes that say: repeat it. A proxy answers 502 when the process behind it died over a request."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where they talk."""

    url: str
    """Of the front door, `http://…`."""
    id: str
    since: int
    """A moment before its first message, milliseconds since 1970."""


class Reader:
    """A client that shows everything that is said in the room."""

    def __init__(self, user: User, room: Room, history: History) -> None:
        self.user = user
        self.name = user.username
        self.first_shown: float | None = None
        """When anything was shown for the first time."""
        self.shown: set[str] = set()
        self._room = room
        self._history = history
        self._socket = 0
        self._latest = room.since
        self._line: Line | None = None
        self._online = asyncio.Event()

    async def live(self) -> None:
        """Read for ever, over one socket after the other."""
        self._history.events.append(Joined(time.monotonic(), self.name))
        while True:
            self._socket += 1
            try:
                await self._one_socket(self._socket)
            except (Failed, Unanswered) as failure:
                if not (isinstance(failure, Failed) and failure.code in TRY_AGAIN):
                    self._note_refusal(f"{type(failure).__name__}: {failure}")
            except (Broken, OSError, TimeoutError, InvalidHandshake, InvalidMessage):
                pass  # as when the network is gone: once more
            await asyncio.sleep(RECONNECT)

    async def online(self) -> Line:
        """The socket, as soon as there is one that is signed in and has caught up."""
        while self._line is None:
            await self._online.wait()
        return self._line

    async def _one_socket(self, number: int) -> None:
        def on_event(collection: str, fields: Document) -> None:
            if collection == "stream-room-messages" and fields["eventName"] == self._room.id:
                self._take(number, fields["args"][0])

        url = self._room.url.replace("http", "ws", 1) + "/websocket"
        async with opened(url, on_event) as (line, reading, socket):
            try:
                await line.connect()
                await line.call("login", {"resume": self.user.token})
                await line.subscribe("stream-room-messages", self._room.id, False)
                self._history.events.append(Opened(time.monotonic(), self.name, number))
                await self._catch_up(number, line)
                self._line = line
                self._online.set()
                await reading
            finally:
                self._line = None
                self._online.clear()
                # Cancelled: it is we who leave.
                code = socket.close_code
                self._history.events.append(Closed(time.monotonic(), self.name, number, code))

    async def _catch_up(self, number: int, line: Line) -> None:
        """Ask once what was missed; who has nothing yet goes on until there is nothing new."""
        newcomer = not self.shown
        while True:
            since = {"$date": self._latest}
            missed = await line.call("loadMissedMessages", self._room.id, since)
            messages = tuple(message_of(document) for document in missed)
            self._history.events.append(CaughtUp(time.monotonic(), self.name, number, messages))
            fresh = {message.id for message in messages} - self.shown
            self._show(*messages)
            if not (newcomer and fresh):
                return

    def _take(self, number: int, document: Document) -> None:
        message = message_of(document)
        self._history.events.append(Frame(time.monotonic(), self.name, number, message))
        self._show(message)

    def _show(self, *messages: Message) -> None:
        for message in messages:
            self.shown.add(message.id)
            self._latest = max(self._latest, message.ts)
            if self.first_shown is None:
                self.first_shown = time.monotonic()

    def _note_refusal(self, what: str) -> None:
        self._history.events.append(Refused(time.monotonic(), self.name, what))


class Writer:
    """Says one thing after the other until told to stop, each as often as it takes."""

    def __init__(self, name: str, room: Room, history: History, pause: float) -> None:
        self.name = name
        self._room = room
        self._history = history
        self._pause = pause
        self._stopping = False

    def stop(self) -> None:
        """Say nothing more; what was begun is repeated until it is answered."""
        self._stopping = True

    async def talk(self, attempt: Callable[[Document], Awaitable[Document]]) -> None:
        """`attempt` sends a message once and gives what was stored. Raises: TryAgain, Hopeless."""
        for count in itertools.count(1):
            if self._stopping:
                return
            message = {
                "_id": secrets.token_hex(8),
                "rid": self._room.id,
                "msg": f"{self.name}:{count}",
            }
            self._note(Sent, message["_id"], message["msg"])
            stored = await self._until_answered(attempt, message)
            self._note(Acked, message["_id"], message_of(stored).ts)
            await asyncio.sleep(self._pause)

    async def _until_answered(
        self, attempt: Callable[[Document], Awaitable[Document]], message: Document
    ) -> Document:
        while True:
            try:
                return await attempt(message)
            except TryAgain as reason:
                self._note(Repeated, message["_id"], str(reason))
            except Hopeless as reason:
                self._note(Refused, f"{message['_id']}: {reason}")
            await asyncio.sleep(REPEAT)

    def _note(self, kind: Callable[..., Event], *values: object) -> None:
        self._history.events.append(kind(time.monotonic(), self.name, *values))


class TryAgain(Exception):
    """A send that has to be repeated."""


class Hopeless(Exception):
    """A send that should not have been refused."""


class SocketWriter:
    """A reader who also writes, over its own socket."""

    def __init__(self, reader: Reader, room: Room, history: History, pause: float) -> None:
        self.writer = Writer(reader.name, room, history, pause)
        self._reader = reader

    async def talk(self) -> None:
        await self.writer.talk(self._attempt)

    async def _attempt(self, message: Document) -> Document:
        line = await self._reader.online()
        try:
            stored: Document = await line.call("sendMessage", message)
        except Broken:
            raise TryAgain("the socket ended") from None
        except Unanswered as silence:
            raise Hopeless(str(silence)) from None
        except Failed as failure:
            if failure.code in TRY_AGAIN:
                raise TryAgain(str(failure)) from None
            raise Hopeless(str(failure)) from None
        return stored


class RestWriter:
    """Somebody who only writes, with REST calls: a bot or a script."""

    def __init__(self, user: User, room: Room, history: History, pause: float) -> None:
        self.writer = Writer(user.username, room, history, pause)
        self._user = user
        self._url = f"{room.url}/api/v1/chat.sendMessage"

    async def talk(self) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(headers=self._user.headers, timeout=timeout) as session:

            async def attempt(message: Document) -> Document:
                return await self._attempt(session, message)

            await self.writer.talk(attempt)

    async def _attempt(self, session: aiohttp.ClientSession, message: Document) -> Document:
        try:
            async with session.post(self._url, json={"message": message}) as answer:
                status, text = answer.status, await answer.text()
                body = await answer.json() if status == 200 else {}
        except TimeoutError:
            raise Hopeless("no answer for 30 s") from None
        except aiohttp.ClientError as error:
            raise TryAgain(f"{type(error).__name__}") from None
        if status == 200:
            stored: Document = body["message"]
            return stored
        if status in TRY_AGAIN:
            raise TryAgain(f"{status}")
        raise Hopeless(f"{status} {text[:300]}")
