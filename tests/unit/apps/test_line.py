"""Calls in both directions over one stream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hubbub.apps import line as line_module
from hubbub.apps.engine import Refused
from hubbub.apps.line import Line
from hubbub.apps.wire import Answer, Broken, Call, Decoder, Frame, Refusal, Tell, encode


async def nothing(name: str, args: Mapping[str, Any]) -> Any:
    raise AssertionError(name)


class Other:
    """The other end, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder = Decoder()
        self._frames: list[Frame] = []

    async def next(self) -> Frame:
        async with asyncio.timeout(30):
            while not self._frames:
                data = await self._reader.read(1 << 16)
                assert data, "it is closed"
                self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def send(self, frame: Frame) -> None:
        self.writer.write(encode(frame))


@asynccontextmanager
async def connected(answering: Any = nothing) -> AsyncIterator[tuple[Line, Other]]:
    """A line that is read, and its other end."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    other = Other(*await asyncio.open_connection(sock=theirs))
    line = Line(reader, writer, answering)
    running = asyncio.create_task(line.run())
    try:
        yield line, other
        other.writer.close()
        async with asyncio.timeout(30):
            await running
    finally:
        running.cancel()
        for one in (writer, other.writer):
            one.close()
            await asyncio.wait([asyncio.ensure_future(one.wait_closed())])


async def test_answers_find_their_calls() -> None:
    async with connected() as (line, other), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(line.call("first", {"a": 1}))
        assert await other.next() == Call(1, "first", {"a": 1})
        second = tasks.create_task(line.call("second", {}))
        assert await other.next() == Call(2, "second", {})
        other.send(Answer(99, "of nobody"))
        other.send(Tell("anything", {}))
        other.send(Answer(2, "two"))
        other.send(Answer(1, "one"))
        other.send(Answer(1, "again"))
        assert (await first, await second) == ("one", "two")


async def test_a_refusal_is_raised() -> None:
    async with connected() as (line, other):
        asking = asyncio.create_task(line.call("room", {}))
        await other.next()
        other.send(Refusal(1, "error-room-not-found", "no"))
        with pytest.raises(Refused) as raised:
            await asking
        assert (raised.value.code, raised.value.reason) == ("error-room-not-found", "no")


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "CALL_DEADLINE", 0.01)
    async with connected() as (line, other):
        with pytest.raises(Refused, match="timeout"):
            await line.call("room", {})
        monkeypatch.setattr(line_module, "CALL_DEADLINE", 30.0)
        other.send(Answer(1, "late"))
        asking = asyncio.create_task(line.call("user", {}))
        await other.next()
        assert await other.next() == Call(2, "user", {})
        other.send(Answer(2, "found"))
        assert await asking == "found"


async def test_what_cannot_be_sent_is_refused() -> None:
    async with connected(lambda name, args: asyncio.sleep(0, object())) as (line, other):
        with pytest.raises(Refused, match="unsendable"):
            await line.call("store_set", {"value": object()})
        other.send(Call(5, "request", {}))
        answer = await other.next()
        assert isinstance(answer, Refusal)
        assert (answer.id, answer.code) == (5, "unsendable")


async def test_who_waits_is_told_when_the_other_side_goes() -> None:
    ended = asyncio.Event()

    async def answering(name: str, args: Mapping[str, Any]) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with connected(answering) as (line, other):
        asking = asyncio.create_task(line.call("room", {}))
        await other.next()
        other.send(Call(1, "command", {}))
    with pytest.raises(Refused, match="gone"):
        await asking
    with pytest.raises(Refused, match="gone"):
        await line.call("room", {})
    assert ended.is_set()
    line.tell("log", {})
    assert line.dropped == 1


@pytest.mark.parametrize("data", [b"\0\0\0\x02[]", b"\0\0\0\x20{", b"\xff\xff\xff\xff"])
async def test_what_is_no_frame_ends_it(data: bytes) -> None:
    with pytest.raises(Broken):
        async with connected() as (_, other):
            other.writer.write(data)


async def test_tells_are_dropped_when_nobody_reads() -> None:
    async with connected() as (line, other):
        for _ in range(100):
            line.tell("log", {"text": "x" * 100_000})
        assert 0 < line.dropped < 100
        sent = [await other.next() for _ in range(100 - line.dropped)]
        assert all(isinstance(frame, Tell) for frame in sent)
