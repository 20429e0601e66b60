"""Events straight into the event log, as a leading stream-hub appends them."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.event_log import (
    CONTROL,
    Header,
    Kind,
    Marker,
    Watermark,
    encode_control,
    room_audience,
)
from hubbub.ddp.stream import stream_frame
from services.stream_hub.domain.event import StreamEvent, control, encoded
from services.stream_hub.jetstream import EXPECTED_SEQUENCE, JetStreamLog
from services.stream_hub.settings import StreamHubSettings

FRAME_BYTES = 600
MARK = "bench-"
NUMBER = "0" * 8
"""Stands in the template where the number of an event goes."""
_EPOCH = 1
_LOG_EPOCH = "benchmark"
_STREAM = "room-messages"
_WATERMARK_EVERY = 1.0  # seconds


def template(room_id: str) -> bytes:
    """The payload of every measured event: `FRAME_BYTES` long, its number still `NUMBER`."""
    start = f'[{{"_id":"{MARK}{NUMBER}","rid":"{room_id}","msg":"'
    empty = stream_frame(_STREAM, room_id, f'{start}"}}]'.encode())
    text = "x" * (FRAME_BYTES - len(empty))
    return stream_frame(_STREAM, room_id, f'{start}{text}"}}]'.encode())


def numbered(payload: bytes, number: int) -> bytes:
    """The template as the event of that number."""
    return payload.replace(NUMBER.encode(), b"%08d" % number, 1)


def expected(payload: bytes, first: int, events: int) -> str:
    """What every client must have got, as the load generator tells it (`Count.kinds`)."""
    checksum = 0
    for number in range(first, first + events):
        checksum = zlib.crc32(numbered(payload, number), checksum)
    return f"{events}:{events * len(payload)}:{checksum:08x}"


class Publisher:
    """Leads, as far as streamers can tell."""

    def __init__(self, log: JetStreamLog, room_id: str) -> None:
        self._log = log
        self._room_id = room_id
        self._audience = room_audience(room_id)
        self._sequence = 0
        self._number = 0
        self._acknowledged = asyncio.Event()
        self.template = template(room_id)
        log.on_acknowledged(self._on_acknowledged)

    async def begin(self) -> None:
        """Make the log and stand at its beginning."""
        await self._log.delete()
        await self._log.prepare(_EPOCH)
        marker = Marker(epoch=_EPOCH, holder="benchmark", log_epoch=_LOG_EPOCH)
        self._append(control(CONTROL, marker))
        await self.settled()

    async def publish(self, first: int, events: int, gap: float) -> None:
        """Append numbered events, `gap` seconds apart, on a schedule that does not slip."""
        began = time.monotonic()
        for index in range(events):
            due = began + index * gap
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            headers = {
                Header.KIND: Kind.FRAME.value,
                Header.STREAM: _STREAM,
                Header.KEY: encoded(self._room_id),
                Header.UID: "u0000000000000000",
                Header.ROOM_TYPE: "c",
                Header.ROOM_NAME: "everybody",
                Header.COMMITTED: str(time.time_ns() // 1_000_000),
            }
            payload = numbered(self.template, first + index)
            self._append(StreamEvent(self._audience, payload, headers))

    async def settled(self) -> None:
        """Wait until everything is acknowledged."""
        async with asyncio.timeout(10):
            await self._acknowledged.wait()

    async def announce(self) -> None:
        """Tell watermarks for as long as this runs."""
        headers = {Header.KIND: Kind.CONTROL.value, Header.EPOCH: str(_EPOCH)}
        while True:
            await asyncio.sleep(_WATERMARK_EVERY)
            mark = Watermark(
                epoch=_EPOCH,
                log_epoch=_LOG_EPOCH,
                sequence=self._sequence,
                tops=[(self._audience, self._sequence)] if self._sequence > 1 else [],
            )
            await self._log.tell(CONTROL, encode_control(mark), headers)

    def _append(self, event: StreamEvent) -> None:
        event.headers[Header.EPOCH] = str(_EPOCH)
        event.headers[Header.EVENT_ID] = f"benchmark-{self._number}:0"
        event.headers[Header.PUBLISHED] = str(time.time_ns() // 1_000_000)
        event.headers[EXPECTED_SEQUENCE] = str(self._number)
        self._number += 1
        self._acknowledged.clear()
        self._log.append(self._number, event.audience, event.payload, event.headers)

    def _on_acknowledged(self, number: int, sequence: int | None, refusal: str) -> None:
        if sequence is None:
            raise RuntimeError(f"the log refused event {number}: {refusal}")
        self._sequence = sequence
        if number == self._number:
            self._acknowledged.set()


@asynccontextmanager
async def publisher(nats_url: str, room_id: str) -> AsyncIterator[Publisher]:
    """A publisher at the beginning of an empty log."""
    bus = NatsBus(
        BusSettings(nats_url=nats_url),
        service="benchmark-hub",
        instance="benchmark-hub-1",
        registry=CollectorRegistry(),
    )
    await bus.connect()
    try:
        async with JetStreamLog(bus.client, StreamHubSettings()) as log:
            made = Publisher(log, room_id)
            await made.begin()
            announcing = asyncio.create_task(made.announce())
            try:
                yield made
            finally:
                announcing.cancel()
                with suppress(asyncio.CancelledError):
                    await announcing
    finally:
        await bus.close()
