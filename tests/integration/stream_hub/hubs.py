"""Hubs to kill, a writer that never stops, and a reader that trusts nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import nats
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from pymongo.errors import PyMongoError

from hubbub.contracts.event_log import (
    LOG_STREAM,
    LOG_SUBJECTS,
    Epochs,
    Marker,
    decode_control,
)
from hubbub.mongo import Database
from tests.waiting import eventually

ROOM = "GENERAL"
_ROOT = Path(__file__).parents[3]


@dataclass
class Hub:
    """One hub process."""

    process: asyncio.subprocess.Process
    output: Path

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """Politely; returns the exit status."""
        self.send(signal.SIGTERM)
        async with asyncio.timeout(10):
            return await self.process.wait()

    def said(self, event: str) -> int:
        """How often its log tells of `event`."""
        return self.output.read_text().count(event)


@dataclass
class Hubs:
    """Starts hubs on one database and one NATS server; ends all of them afterwards."""

    mongo_url: str
    nats_url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    started: list[Hub] = field(default_factory=list)

    async def start(self, *, leading: bool = True) -> Hub:
        """A hub that runs, and leads unless it is to be a standby."""
        output = self.folder / f"hub-{len(self.started)}.log"
        environment = os.environ | {
            "HUBBUB_MONGO_URL": self.mongo_url,
            "HUBBUB_NATS_URL": self.nats_url,
            "HUBBUB_OPS_PORT": "0",
            "HUBBUB_LOG_FORMAT": "json",
            **self.settings,
        }
        with output.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.integration.stream_hub.runner",
                cwd=_ROOT,
                env=environment,
                stdout=written,
                stderr=written,
            )
        hub = Hub(process, output)
        self.started.append(hub)
        wanted = "log_taken_over" if leading else "nats_connected"
        await eventually(lambda: hub.said(wanted), within=20, what=f"hub says {wanted}")
        return hub

    async def end(self) -> None:
        for hub in self.started:
            if hub.process.returncode is None:
                hub.send(signal.SIGCONT)
                await hub.kill()


def url_of(mongo_url: str, database: str) -> str:
    """The URL with another database."""
    return urlunsplit(urlsplit(mongo_url)._replace(path=f"/{database}"))


class Writer:
    """Inserts numbered messages, one statement after another, until it is told to stop."""

    def __init__(self, database: Database, *, pause: float = 0.002, batch: int = 5) -> None:
        self._messages = database.rocketchat_message
        self._pause = pause
        self._batch = batch
        self.written = 0

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writer]:
        """Write as long as the block lasts."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._write(stop))
        try:
            yield self
        finally:
            stop.set()
            await task

    async def write(self, count: int) -> None:
        """Insert `count` messages and return."""
        first, self.written = self.written, self.written + count
        await self._messages.insert_many([message(first + index) for index in range(count)])

    async def _write(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.write(self._batch)
            await asyncio.sleep(self._pause)


def message(number: int) -> dict[str, Any]:
    return {"_id": f"m{number}", "rid": ROOM, "msg": str(number), "u": {"_id": "u1"}}


@dataclass(frozen=True)
class Stored:
    """One event in the log."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @property
    def marker(self) -> Marker | None:
        if self.subject != f"{LOG_SUBJECTS}control":
            return None
        event = decode_control(self.payload)
        return event if isinstance(event, Marker) else None


async def whole_log(client: Client) -> list[Stored]:
    """Everything that the log keeps, in its order."""
    found: list[Stored] = []
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)
    while True:
        first = found[-1].sequence + 1 if found else 1
        request = orjson.dumps({"seq": first, "batch": 500})
        await client.publish(f"$JS.API.DIRECT.GET.{LOG_STREAM}", request, reply=inbox)
        before = len(found)
        while True:
            reply: Msg = await replies.next_msg(5)
            headers = reply.headers or {}
            if "Nats-Sequence" not in headers:
                break
            found.append(
                Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, reply.data)
            )
        if len(found) == before:
            await replies.unsubscribe()
            return found


def counting(log: list[Stored]) -> list[Stored]:
    """The events that count: no marker of a higher epoch stands before them."""
    epochs = Epochs()
    for stored in log:
        if stored.marker is not None:
            epochs.mark(stored.marker.epoch, stored.sequence)
    return [
        stored
        for stored in log
        if stored.marker is None
        and epochs.counts(int(stored.headers["Hub-Epoch"]), stored.sequence)
    ]


def numbers(log: list[Stored]) -> list[int]:
    """The numbers of the messages in the events that count, in their order."""
    return [
        int(orjson.loads(stored.payload)["fields"]["args"][0]["msg"])
        for stored in counting(log)
        if stored.headers.get("Hub-Stream") == "room-messages"
    ]


def markers(log: list[Stored]) -> list[Marker]:
    return [stored.marker for stored in log if stored.marker is not None]


async def caught_up(client: Client, count: int, *, within: float = 60.0) -> list[Stored]:
    """Wait until the log has `count` messages that count; the whole log then."""

    async def look() -> list[Stored]:
        log = await whole_log(client)
        return log if len(numbers(log)) >= count else []

    return await eventually(look, within=within, what=f"{count} messages in the log")


async def assert_complete(client: Client, writer: Writer) -> list[Stored]:
    """Every message that was written is in the log once, in order."""
    log = await caught_up(client, writer.written)
    assert numbers(log) == list(range(writer.written))
    return log


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(url)
    try:
        yield client
    finally:
        await client.close()


async def wait_for_database(database: Database) -> None:
    """Make the collections whose first insert would otherwise need a moment."""
    for name in ("rocketchat_message", "rocketchat_room", "hubbub_leases"):
        try:
            await database.create_collection(name)
        except PyMongoError as error:
            if "exists" not in str(error):
                raise
