"""A client that shows its rooms as existing clients do, and notes everything it is told.

A client that lost its socket opens another one, at any streamer, later and later; it signs in with
its token, subscribes again, and asks each room what it missed since the last message it has. If
the socket ends before the answer, it asks since the same message again: those that came by
themselves meanwhile say nothing of what is before them.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidMessage

from tests.chaos.history import (
    CatchUp,
    Close,
    Frame,
    NoSub,
    Open,
    Ready,
    Recorder,
    Resync,
    Shown,
    Sub,
)
from tests.chaos.wire import Wire, opened
from tests.e2e.resilience.line import Broken, Document, Failed, Unanswered

FIRST_PAUSE = 0.1  # seconds until a lost socket is opened again
LONGEST_PAUSE = 2.0  # seconds
AGAIN = 0.25  # seconds until what the server could not answer is asked again
TRY_AGAIN = frozenset({"error-temporarily-unavailable", "error-timeout", 502, 503, 504})
"""Codes that say: repeat it."""

_LOST = (Broken, Unanswered, OSError, TimeoutError, InvalidHandshake, InvalidMessage, EOFError)


@dataclass(frozen=True, slots=True)
class Person:
    """Who signs in."""

    id: str
    name: str
    token: str = field(repr=False)


@dataclass(eq=False, slots=True)
class Place:
    """One room as this client has it."""

    room: str
    latest: int
    """Date up to which it has everything, milliseconds since 1970: that of the newest message,
    but for what came by itself on a socket before what was missed."""
    newest: int = 0
    """Date of the newest message it has."""
    shown: set[str] = field(default_factory=set)
    caught_up: bool = False
    """Whether it was told what it missed, since it subscribed."""
    subscription: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client was told that it is a member (again), or is none any more."""


def agent_of(name: str) -> str:
    """What the sockets of this user call themselves; no other's name begins like it."""
    return f"drill-reader/{name}/"


class Reader:
    """One user with one socket at a time."""

    def __init__(
        self,
        person: Person,
        rooms: Sequence[str],
        since: int,
        urls: Sequence[str],
        recorder: Recorder,
        proc: str,
        dice: random.Random,
    ) -> None:
        """
        Args:
            rooms: where it is a member at the beginning.
            since: a moment before the first message of all rooms, milliseconds since 1970.
            urls: of the streamers; each new socket goes to any of them.
        """
        self.person = person
        self.places = {room: Place(room, since) for room in rooms}
        self._urls = urls
        self._recorder = recorder
        self._proc = proc
        self._dice = dice
        self._sockets = itertools.count(1)
        self._wire: Wire | None = None
        self._online = asyncio.Event()
        self.socket = ""
        """Name of the latest one."""

    @property
    def name(self) -> str:
        return self.person.name

    @property
    def wire(self) -> Wire | None:
        """The socket, if there is one that is signed in and has caught up."""
        return self._wire

    async def online(self) -> Wire:
        """Wait for such a socket."""
        while self._wire is None:
            await self._online.wait()
        return self._wire

    async def live(self) -> None:
        """Read until cancelled, over one socket after the other."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._one_socket()
            except (Failed, *_LOST):
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1.0))

    async def _one_socket(self) -> None:
        """Raises: Failed, Broken, …: it did not come as far as being online."""
        for place in self.places.values():
            place.subscription = None
            place.changed.clear()
        for url in self._dice.sample(self._urls, len(self._urls)):
            with suppress(ConnectionRefusedError):  # a balancer passes over who is not there
                return await self._over(url)
        raise Broken

    async def _over(self, url: str) -> None:
        # The number of the streamer tells people where to look.
        self.socket = f"{self.name}/{next(self._sockets)}@{self._urls.index(url) + 1}"
        agent = agent_of(self.name)
        async with opened(url, self._on_event, self._on_end, agent=agent) as (wire, reading):
            await wire.connect()
            try:
                await wire.call("login", {"resume": self.person.token}, note=self._note_open)
            except Failed as failure:
                if failure.code not in TRY_AGAIN:
                    raise AssertionError(f"a valid token was refused: {failure}") from None
                raise
            staying = asyncio.create_task(self._stay(wire), name=f"stay-{self.name}")
            try:
                await asyncio.wait({staying, reading}, return_when=asyncio.FIRST_COMPLETED)
                # Cancelled, the client was there until the end of the run.
                self._note(Close, code=wire.close_code)
            finally:
                self._wire = None
                self._online.clear()
                staying.cancel()
                await asyncio.wait({staying})
            if not staying.cancelled():
                staying.result()  # a failure that is none of the socket's

    async def _stay(self, wire: Wire) -> None:
        """Follow all rooms until the socket ends."""
        mine = f"{self.person.id}/subscriptions-changed"
        try:
            await wire.subscribe("stream-notify-user", mine, False)
            async with asyncio.TaskGroup() as rooms:
                first = [asyncio.Event() for _ in self.places]
                for place, settled in zip(self.places.values(), first, strict=True):
                    rooms.create_task(self._follow(wire, place, settled))
                for settled in first:
                    await settled.wait()
                self._wire = wire
                self._online.set()
        except* (Failed, *_LOST):
            pass  # what follows is a reconnect like any other

    async def _follow(self, wire: Wire, place: Place, settled: asyncio.Event) -> None:
        """Subscribe to the room and catch up; again each time that it was taken from us."""
        while True:
            place.changed.clear()
            try:
                if place.subscription is None:
                    await self._subscribe(wire, place)
                    await self._catch_up(wire, place)
            except Failed as failure:
                if failure.code in TRY_AGAIN:
                    place.subscription = None
                    await asyncio.sleep(AGAIN)
                    continue
                # Refused: not a member now.
            settled.set()
            await place.changed.wait()

    async def _subscribe(self, wire: Wire, place: Place) -> None:
        place.caught_up = False
        self._note(Sub, room=place.room)

        def note(message: Document) -> None:
            place.subscription = next(iter(message["subs"]), None)
            self._note(Ready, room=place.room)

        try:
            await wire.subscribe("stream-room-messages", place.room, False, note=note)
        except Failed as failure:
            self._note(NoSub, room=place.room, reason=str(failure.code))
            raise
        # It may have ended since then, before this task came to its turn.

    async def _catch_up(self, wire: Wire, place: Place) -> None:
        """Ask what was missed until an answer shows nothing that has not come by itself as well:
        answers have a limit, and what came since `ready` is asked for for nothing."""
        news = True
        while news:
            since, asked = place.latest, time.monotonic()

            def note(message: Document, since: int = since, asked: float = asked) -> None:
                nonlocal news
                missed = tuple(_shown(document) for document in message.get("result") or ())
                self._note(CatchUp, room=place.room, since=since, asked=asked, messages=missed)
                news = any(shown.id not in place.shown for shown in missed)
                for shown in missed:
                    self._show(place, shown)
                    place.latest = max(place.latest, shown.ts)

            await wire.call("loadMissedMessages", place.room, {"$date": since}, note=note)
        place.caught_up, place.latest = True, max(place.latest, place.newest)

    # --- what comes by itself ---

    def _on_event(self, message: Document) -> None:
        fields = message["fields"]
        match message["collection"]:
            case "stream-room-messages":
                self._take(fields["eventName"], fields["args"][0])
            case "stream-notify-user":
                self._membership_changed(*fields["args"][:2])
            case "stream-hubbub" if fields["eventName"] == "resync":
                rooms = fields["args"][0].get("rooms")
                named = None if rooms == "all" else tuple(rooms)
                self._note(Resync, rooms=named)
            case _:
                pass

    def _take(self, room: str, document: Document) -> None:
        shown = _shown(document)
        self._note(
            Frame,
            room=room,
            id=shown.id,
            body=shown.body,
            ts=shown.ts,
            version=shown.version,
            edited=shown.edited,
        )
        if room in self.places:
            self._show(self.places[room], shown)

    def _membership_changed(self, what: str, membership: Document) -> None:
        place = self.places.get(membership.get("rid", ""))
        if place is not None and what == "inserted":
            place.changed.set()

    def _on_end(self, subscription: str) -> None:
        for place in self.places.values():
            if place.subscription == subscription:
                place.subscription = None
                place.changed.set()
                self._note(NoSub, room=place.room, reason="ended by the server")

    def _show(self, place: Place, message: Shown) -> None:
        place.shown.add(message.id)
        place.newest = max(place.newest, message.ts)
        if place.caught_up:
            place.latest = place.newest

    def _note_open(self, _: Document) -> None:
        self._note(Open)

    def _note(self, kind: Any, **values: Any) -> None:
        self._recorder.write(kind(proc=self._proc, user=self.name, socket=self.socket, **values))


def _shown(document: Document) -> Shown:
    edited = document.get("editedAt")
    return Shown(
        id=document["_id"],
        body=document["msg"],
        ts=_milliseconds(document["ts"]),
        version=_milliseconds(document["_updatedAt"]),
        edited=None if edited is None else _milliseconds(edited),
    )


def _milliseconds(date: Document) -> int:
    return int(date["$date"])
