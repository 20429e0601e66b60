"""What streamer tests on a real NATS need: a hub's side of the log, a cable to cut, an ear."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from nats.js.api import RePublish, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from hubbub.bus.connection import Connection
from hubbub.contracts.event_log import (
    CONTROL,
    EPHEMERAL_SUBJECTS,
    LIVE_SUBJECTS,
    LOG_STREAM,
    LOG_SUBJECTS,
    Audience,
    ControlEvent,
    Header,
    Kind,
    Marker,
    Watermark,
    encode_control,
    room_audience,
)
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.audiences import Event


class FakeHub:
    """Publishes to the real log as a leading stream-hub does."""

    def __init__(self, client: Connection, *, epoch: int = 1, log_epoch: str = "log-1") -> None:
        self.client = client
        self.epoch = epoch
        self.log_epoch = log_epoch
        self.last = 0
        self.tops: dict[str, int] = {}
        self._count = 0

    async def begin(self, *, resync: bool = False) -> None:
        """Put this leader's marker into the log."""
        marker = Marker(epoch=self.epoch, holder="fake", log_epoch=self.log_epoch, resync=resync)
        await self.control(CONTROL, marker)

    async def publish(
        self,
        audience: Audience,
        payload: bytes,
        *,
        stream: str = "room-messages",
        key: str = "",
        kind: Kind = Kind.FRAME,
        epoch: int | None = None,
        **more: str,
    ) -> int:
        """Store one event; its sequence."""
        self._count += 1
        headers = {
            Header.KIND: kind.value,
            Header.STREAM: stream,
            Header.KEY: key,
            Header.EPOCH: str(self.epoch if epoch is None else epoch),
            Header.EVENT_ID: f"{id(self)}-{self._count}:0",
            **{getattr(Header, name.upper()): value for name, value in more.items()},
        }
        ack = await self.client.jetstream().publish(
            LOG_SUBJECTS + audience, payload, headers=headers
        )
        self.last = ack.seq
        self.tops[audience] = ack.seq
        return ack.seq

    async def message(self, room_id: str, text: str, *, room_type: str = "p") -> int:
        """A finished `room-messages` frame whose argument is `text`."""
        frame = stream_frame("room-messages", room_id, b'[{"_id":"%b"}]' % text.encode())
        return await self.publish(
            room_audience(room_id),
            frame,
            key=room_id,
            room_type=room_type,
            room_name=f"name-{room_id}",
        )

    async def control(self, audience: Audience, event: ControlEvent) -> int:
        """A control event in `audience`."""
        return await self.publish(audience, encode_control(event), stream="", kind=Kind.CONTROL)

    async def watermark(self) -> None:
        """Say how far the log is; live only."""
        event = Watermark(
            epoch=self.epoch,
            log_epoch=self.log_epoch,
            sequence=self.last,
            tops=list(self.tops.items()),
        )
        await self.client.publish(
            LIVE_SUBJECTS + CONTROL,
            encode_control(event),
            headers={Header.KIND: Kind.CONTROL.value, Header.EPOCH: str(self.epoch)},
        )

    async def ephemeral(
        self, audience: Audience, payload: bytes, *, stream: str, key: str, **more: str
    ) -> None:
        """An event that is never stored."""
        headers = {
            Header.KIND: Kind.FRAME.value,
            Header.STREAM: stream,
            Header.KEY: key,
            **{getattr(Header, name.upper()): value for name, value in more.items()},
        }
        await self.client.publish(EPHEMERAL_SUBJECTS + audience, payload, headers=headers)


async def fresh_log(client: Connection) -> None:
    """An empty event log, republished as the hub sets it up."""
    stream = client.jetstream()
    with contextlib.suppress(NotFoundError):
        await stream.delete_stream(LOG_STREAM)
    await stream.add_stream(
        StreamConfig(
            name=LOG_STREAM,
            subjects=[LOG_SUBJECTS + ">"],
            storage=StorageType.MEMORY,
            allow_direct=True,
            max_age=600,
            republish=RePublish(src=LOG_SUBJECTS + ">", dest=LIVE_SUBJECTS + ">"),
        )
    )


@asynccontextmanager
async def connected(url: str, **options: object) -> AsyncIterator[Connection]:
    """A NATS client that comes back by itself."""
    client = Connection()
    await client.connect(
        url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.02,  # type: ignore[arg-type]  # any number of seconds
        **options,  # type: ignore[arg-type]
    )
    try:
        yield client
    finally:
        await client.close()


class Cable:
    """A TCP proxy in front of a server. `cut` breaks its connections; `silence` lets them stand
    and nothing through; `mend` ends both."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 4222
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._own_port = 0
        self._through = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Cable:
        await self.mend()
        assert self._server is not None
        self._own_port = self._server.sockets[0].getsockname()[1]
        self.url = f"nats://127.0.0.1:{self._own_port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `mend`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    def silence(self) -> None:
        """Let nothing through until `mend`, and nobody know of it."""
        self._through.clear()

    async def mend(self) -> None:
        """Let connections through again."""
        self._through.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._own_port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._host, self._port)
        for one in (writer, onward_writer):
            self._writers.add(one)
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while data := await source.read(65536):
                await self._through.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)


class Ear:
    """A receiver that writes down what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.wild: list[Event] = []
        self.ephemeral: list[Event] = []
        self.lost: list[Audience] = []
        self.opened: list[Audience] = []
        self._room = asyncio.Event()
        self._room.set()

    def on_event(self, event: Event, *, wildcard: bool) -> None:
        (self.wild if wildcard else self.events).append(event)

    def on_ephemeral(self, event: Event) -> None:
        self.ephemeral.append(event)

    def on_opened(self, audience: Audience) -> None:
        self.opened.append(audience)

    def on_lost(self, audience: Audience) -> None:
        self.lost.append(audience)

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def fill(self, *, full: bool) -> None:
        if full:
            self._room.clear()
        else:
            self._room.set()

    async def wait_for_room(self) -> None:
        await self._room.wait()

    def payloads(self, audience: Audience) -> list[bytes]:
        """What was heard of `audience`, in order."""
        return [event.payload for event in self.events if event.audience == audience]
