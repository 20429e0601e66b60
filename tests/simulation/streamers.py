"""Streamers with the production's audiences, and readers whose clients always come back."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import orjson

from hubbub.contracts.event_log import Audience, Kind, MembershipEnded, decode_control
from hubbub.contracts.event_log import room_audience as audience_of
from hubbub.doors.methods import messages as doors
from hubbub.doors.table import Call
from hubbub.errors import Unavailable
from hubbub.ids import RoomId
from services.ddp_streamer.audiences import Audiences, Event, Patience
from services.stream_hub.store import StoreError
from tests.simulation.checker import Reading, Segment, Shown
from tests.simulation.database import Database
from tests.simulation.loop import Node, SimulatedLoop, VirtualClock
from tests.simulation.network import Server, SimulatedLine

_LINGER = 3.0
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Reader:
    """A client that follows one room."""

    def __init__(self, room: str, user: str) -> None:
        self.room = room
        self.user = user
        self.reading = Reading(room, user)
        self.newest = _LONG_AGO
        """Date of the last change that it knows of."""
        self.streamer: Streamer | None = None
        self.visit = 0
        """Counts its connections."""
        self.waiting: list[dict[str, Any]] | None = None
        """Frames of before its catch-up; None behind it."""

    @property
    def name(self) -> str:
        return f"{self.user}@{self.room}"

    def show(self, message: dict[str, Any]) -> None:
        """Keep the newest version of a message, as clients do."""
        version = max(message["version"], self.reading.view.get(message["_id"], 0))
        self.reading.view[message["_id"]] = version
        self.newest = max(self.newest, _date(message["_updatedAt"]))

    def frame(self, message: dict[str, Any]) -> None:
        """A live event."""
        if self.waiting is not None:
            self.waiting.append(message)
            return
        self.reading.segments[-1].frames.append(Shown(message["_id"], message["version"]))
        self.show(message)


class Streamer:
    """One streamer process: its readers, and the receiver of its audiences."""

    def __init__(
        self,
        loop: SimulatedLoop,
        server: Server,
        database: Database,
        node: Node,
        *,
        on_left: Callable[[Reader, float], None],
        record: Callable[..., None],
    ) -> None:
        self.node = node
        self.line = SimulatedLine(server, node)
        self.readers: list[Reader] = []
        self.choked = asyncio.Event()
        self.choked.set()
        self._loop = loop
        self._database = database
        self._on_left = on_left
        self._record = record
        self._joined: dict[Audience, list[Reader]] = defaultdict(list)
        self._audiences: Audiences | None = None
        self._ready = loop.create_future()

    async def run(self) -> None:
        """The life of the process."""
        clock = VirtualClock(self._loop)
        failed: Callable[[str], None] = self._loop.failures.append
        async with Audiences(
            self.line, self, linger=_LINGER, patience=Patience(), clock=clock, on_task_failed=failed
        ) as audiences:
            self._audiences = audiences
            self.line.on_reconnect = lambda: audiences.doubt("nats came back")
            self._ready.set_result(None)
            await self._loop.create_future()

    # --- readers ------------------------------------------------------------------------------

    def serve(self, reader: Reader) -> None:
        """A client has connected."""
        reader.streamer = self
        reader.visit += 1
        self.readers.append(reader)
        opening = self._loop.start_in(self.node, self._open(reader, reader.visit))
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._loop.failures.append(f"a reader died of {error!r}")

    def leave(self, reader: Reader, *, again: float) -> None:
        """The reader sees no more, and comes again after `again` seconds."""
        if reader.reading.segments:
            reader.reading.segments[-1].live = False
        reader.streamer, reader.waiting = None, None
        self.readers.remove(reader)
        joined = self._joined[audience_of(reader.room)]
        if reader in joined:
            joined.remove(reader)
            assert self._audiences is not None
            self._audiences.release(audience_of(reader.room))
        self._on_left(reader, again)

    async def _open(self, reader: Reader, visit: int) -> None:
        """Subscribe, then catch up: in this order nothing can fall in between."""
        await self._ready
        assert self._audiences is not None
        audience = audience_of(reader.room)
        try:
            await self._audiences.acquire([audience])
        except Unavailable:
            self._give_up(reader, visit)
            return
        if not self._has(reader, visit):
            self._audiences.release(audience)
            return
        self._joined[audience].append(reader)
        reader.waiting = []
        database, node = self._database, self.node
        try:
            fetched_at = await database.ask(node, lambda: len(database.commits))
            found = await doors.all_missed(self._call(reader), RoomId(reader.room), reader.newest)
            member = await database.ask(
                node, lambda: reader.user in database.rooms[reader.room].members
            )
        except StoreError:
            self._give_up(reader, visit)
            return
        if not self._has(reader, visit):
            return
        if not member:
            self.leave(reader, again=0.0)
            return
        self._record("caught up", reader.name, fetched_at, len(found))
        reader.reading.segments.append(Segment(fetched_at))
        for message in found:
            reader.show(message)
        waiting, reader.waiting = reader.waiting or [], None
        for message in waiting:
            reader.frame(message)

    def _has(self, reader: Reader, visit: int) -> bool:
        """Whether the reader is still here, and has not come anew meanwhile."""
        return reader.streamer is self and reader.visit == visit

    def _give_up(self, reader: Reader, visit: int) -> None:
        if self._has(reader, visit):
            self.leave(reader, again=0.5)

    def _call(self, reader: Reader) -> Call:
        """What the door of catching up needs of a call."""
        database, node = self._database, self.node

        async def changed(
            _: str, room_id: str, since: datetime, count: int
        ) -> list[dict[str, Any]]:
            return await database.ask(node, lambda: database.changed_after(room_id, since, count))

        services = SimpleNamespace(messaging=SimpleNamespace(changed_messages=changed))
        return cast(Call, SimpleNamespace(services=services, user_id=reader.user))

    # --- the receiver of the audiences --------------------------------------------------------

    @property
    def full(self) -> bool:
        return not self.choked.is_set()

    async def wait_for_room(self) -> None:
        await self.choked.wait()

    def on_event(self, event: Event, *, wildcard: bool) -> None:
        joined = self._joined.get(event.audience, ())
        if event.kind is Kind.CONTROL:
            control = decode_control(event.payload)
            if isinstance(control, MembershipEnded):
                for reader in [one for one in joined if one.user == control.user_id]:
                    self._record("ended", reader.name, event.sequence)
                    self.leave(reader, again=0.0)
            return
        message = orjson.loads(event.payload)["fields"]["args"][0]
        self._record("event", self.node.name, event.sequence, message["_id"], message["version"])
        for reader in joined:
            reader.frame(message)

    def on_ephemeral(self, event: Event) -> None:
        raise AssertionError("nobody sends any")

    def on_opened(self, audience: Audience) -> None:
        self._record("opened", self.node.name, audience)

    def on_lost(self, audience: Audience) -> None:
        """Say so: the clients come again, and catch up."""
        self._record("lost", self.node.name, audience)
        for reader in list(self._joined.get(audience, ())):
            self.leave(reader, again=0.2 + random.random())


def _date(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(value["$date"] / 1000, UTC)
