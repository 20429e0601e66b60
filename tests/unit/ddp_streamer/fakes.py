"""A loop, a transport and a session that tests move by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from prometheus_client import CollectorRegistry

from hubbub.ddp import messages
from hubbub.ddp.messages import Connect, Inbound, Method, Refused, Sub, Unsub
from hubbub.ddp.websocket import CLOSE, PING, PONG, TEXT
from services.ddp_streamer.common import Common, Peer
from services.ddp_streamer.connection import Connection
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.registry import ConnectionRegistry
from services.ddp_streamer.settings import StreamerSettings
from tests.unit.ddp.client_frames import client_frame

CONNECT = b'{"msg":"connect","version":"1","support":["1"]}'


def narrow(*, soft: int, hard: int) -> StreamerSettings:
    """Settings with a smaller outbox than anybody may set, so that a few frames fill it."""
    return StreamerSettings().model_copy(
        update={"soft_buffered_bytes": soft, "max_buffered_bytes": hard}
    )


class FakeLoop:
    """Time and callbacks of an event loop, moved by `run` and `advance`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.turns = 0
        self.lateness: list[float] = []
        self._soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._later: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        self.lateness.append(delay)
        self._later.append((self.now + delay, callback, args))

    def turn(self) -> None:
        """Run what is due now, once."""
        self.turns += 1
        due = [(call, args) for at, call, args in self._later if at <= self.now]
        self._later = [entry for entry in self._later if entry[0] > self.now]
        soon, self._soon = self._soon + due, []
        for call, args in soon:
            call(*args)

    def run(self) -> None:
        """Turn until nothing is due."""
        while self._soon or any(at <= self.now for at, _, _ in self._later):
            self.turn()


class FakeTransport:
    """A transport that counts writes; with `room` it stands for a client that reads slowly."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.room: int | None = None  # bytes the kernel still takes; None: any number
        self.waiting = 0  # bytes the kernel has not taken
        self.reading = True
        self.ended = False
        self.closing = False
        self.protocol: Connection | None = None

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.writes.append(data)
        if self.room is None:
            return
        taken = min(self.room, len(data))
        self.room -= taken
        self.waiting += len(data) - taken
        if self.waiting and self.protocol is not None:
            self.protocol.pause_writing()

    def drain(self, room: int | None) -> None:
        """The client has read on: the kernel takes `room` more bytes (None: all)."""
        taken = self.waiting if room is None else min(room, self.waiting)
        self.waiting -= taken
        self.room = None if room is None else room - taken
        if not self.waiting and self.protocol is not None:
            self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing = True
        if not self.waiting:
            self.lose()

    def abort(self) -> None:
        self.lose()

    def lose(self) -> None:
        """The socket is gone."""
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(None)


class FakeSession:
    """Notes what it is told; answers `connect`, and methods with their own parameters."""

    user_id = "ana"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.got: list[Inbound] = []
        self.ended: list[tuple[int, str]] = []

    def on_message(self, message: Inbound) -> None:
        self.got.append(message)
        match message:
            case Connect():
                self.connection.send(messages.connected("s" * 24))
            case Method(name="break"):
                raise RuntimeError("a defect")
            case Method():
                self.connection.send(messages.result(message.id, message.params))
                self.connection.send(messages.updated(message.id))
            case Refused():
                for answer in message.answer():
                    self.connection.send(answer)
            case Sub():
                self.connection.send(messages.ready(message.id))
            case Unsub():
                self.connection.send(messages.nosub(message.id))
            case _:
                raise AssertionError(f"a session never gets {message}")

    def on_closed(self, code: int, reason: str) -> None:
        self.ended.append((code, reason))


class Client:
    """One connection on fakes, driven by text and read back as decoded frames."""

    def __init__(
        self,
        settings: StreamerSettings | None = None,
        *,
        sockjs: bool = False,
        connect: bool = True,
        beside: Client | None = None,
        address: str = "192.0.2.1",
    ) -> None:
        if beside is None:
            self.loop = FakeLoop()
            self.settings = settings or StreamerSettings()
            self.metrics = StreamerMetrics(CollectorRegistry())
            self.registry = ConnectionRegistry(self.settings, self.metrics)
            self.common = Common(
                self.settings,
                self.metrics,
                self.registry,
                cast(asyncio.AbstractEventLoop, self.loop),
            )
        else:
            self.loop, self.settings = beside.loop, beside.settings
            self.metrics, self.registry = beside.metrics, beside.registry
            self.common = beside.common
        self.transport = FakeTransport()
        self.connection = Connection(self.common, Peer(address, "test", sockjs))
        self.transport.protocol = self.connection
        self.sessions: list[FakeSession] = []
        self.connection.open(cast(asyncio.Transport, self.transport), self._open, b"")
        self._read = 0
        self._rest = b""
        if connect:
            self.text(CONNECT if not sockjs else b'["' + CONNECT.replace(b'"', b'\\"') + b'"]')
            self.frames()

    def _open(self, connection: Connection) -> FakeSession:
        session = FakeSession(connection)
        self.sessions.append(session)
        return session

    @property
    def session(self) -> FakeSession:
        return self.sessions[0]

    def text(self, payload: bytes) -> None:
        """The client sends a text frame."""
        self.receive(client_frame(TEXT, payload))

    def receive(self, data: bytes) -> None:
        """The client sends bytes; what follows from them within this turn happens."""
        self.connection.data_received(data)
        self.loop.run()

    def advance(self, seconds: float) -> None:
        """Time passes in ticks of the wheel."""
        end = self.loop.now + seconds
        while self.loop.now < end:
            self.loop.now = min(end, self.loop.now + 0.5)
            self.common.wheel.advance(self.loop.now)
            self.loop.run()

    def frames(self) -> list[tuple[int, bytes]]:
        """The frames written since the last call."""
        self.loop.run()
        data = b"".join(self.transport.writes[self._read :])
        self._read = len(self.transport.writes)
        return decode_frames(data)

    def texts(self) -> list[bytes]:
        """The texts written since the last call; other frames make it fail."""
        frames = self.frames()
        assert all(opcode == TEXT for opcode, _ in frames), frames
        return [payload for _, payload in frames]

    def closed_with(self) -> tuple[int, bytes]:
        """Code and reason of the close frame, which has to be the last one written."""
        opcode, payload = self.frames()[-1]
        assert opcode == CLOSE
        return int.from_bytes(payload[:2], "big"), payload[2:]


def decode_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Whole unmasked frames; a rest makes it fail."""
    found = []
    while data:
        opcode, length, head = data[0] & 0x0F, data[1], 2
        assert data[0] & 0xF0 == 0x80
        assert opcode in {TEXT, CLOSE, PING, PONG}
        if length == 126:
            length, head = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= head + length
        found.append((opcode, data[head : head + length]))
        data = data[head + length :]
    return found
