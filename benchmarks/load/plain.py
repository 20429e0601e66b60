"""The load generator in Python, for machines without Go: the same orders, the same answers.

    python -m benchmarks.load.plain

It costs more CPU per frame than the compiled one; runs say so when it was not proven faster than
the servers that it measured.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

# Of what arrives only messages are counted: the same text comes again in the changed room.
_COUNTED = b'{"msg":"changed","collection":"stream-room-messages"'
_STAMP_DIGITS = 19  # nanoseconds since 1970
_LEAST_STAMP = 10**18
_READ = 1 << 20  # bytes


class Connection:
    """One WebSocket."""

    __slots__ = (
        "closed", "crc", "frames", "number", "pending", "running", "seen", "size", "socket",
        "step", "upgraded",
    )  # fmt: skip

    def __init__(self, number: int, opened: socket.socket) -> None:
        self.number = number
        self.socket = opened
        self.pending = b""
        self.upgraded = self.closed = False
        self.running = True
        self.step = -1
        self.seen = self.frames = self.size = self.crc = 0


class Load:
    """All connections, and what was counted on them."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.connections: list[Connection] = []
        self.by_descriptor: dict[int, Connection] = {}
        self.steps: list[dict[str, Any]] = []
        self.names: dict[str, list[str]] = {}
        self.under_way = 0
        self.failures: list[str] = []
        self.mark = b""
        self.rest = 0.0  # seconds
        self.frames = self.reads = self.closed = self.errors = 0
        self.latencies: list[int] = []

    def serve(self) -> None:
        """Follow orders until standard input ends."""
        orders = {"open": self.open, "script": self.script, "await": self.wait, "talk": self.talk}
        self.epoll.register(0, select.EPOLLIN)
        unread = b""
        while True:
            if not self.poll(-1):
                continue
            data = os.read(0, _READ)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if order["order"] == "reset":
                    self.rest = order.get("rest", 0.0)
                    self.reset(order.get("mark", ""))
                    answer: dict[str, Any] = {}
                else:
                    answer = orders[order["order"]](order)
                print(json.dumps(answer), flush=True)

    def poll(self, seconds: float) -> bool:
        """Handle what is readable; whether an order is among it."""
        if self.rest:
            time.sleep(self.rest)
        ordered = False
        for descriptor, _ in self.epoll.poll(seconds):
            if descriptor == 0:
                ordered = True
            elif (connection := self.by_descriptor.get(descriptor)) is not None:
                self.read(connection)
        return ordered

    def poll_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Poll until `done`; False when the deadline passed."""
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.poll(left)
        return True

    # --- orders

    def open(self, order: dict[str, Any]) -> dict[str, Any]:
        """Open connections; each runs the steps."""
        host, _, port = order["address"].rpartition(":")
        first = len(self.connections)

        def start(index: int) -> None:
            opened = socket.create_connection((host, int(port)))
            opened.setblocking(False)
            connection = Connection(first + index, opened)
            self.connections.append(connection)
            self.by_descriptor[opened.fileno()] = connection
            self.epoll.register(opened, select.EPOLLIN)
            self.under_way += 1
            self.write(
                connection,
                b"GET /websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n" % order["address"].encode(),
            )

        return self.run(order, order["count"], start)

    def script(self, order: dict[str, Any]) -> dict[str, Any]:
        """Every connection runs more steps."""

        def start(index: int) -> None:
            connection = self.connections[index]
            connection.running, connection.step = True, -1
            self.under_way += 1
            self.next(connection)

        return self.run(order, len(self.connections), start)

    def run(
        self, order: dict[str, Any], count: int, start: Callable[[int], None]
    ) -> dict[str, Any]:
        self.steps, self.names = order.get("steps") or [], order.get("names") or {}
        self.failures, self.under_way = [], 0
        began = time.monotonic()
        deadline = began + order["seconds"]
        complete = True
        for index in range(count):
            complete = self.poll_until(lambda: self.under_way < order["parallel"], deadline)
            if not complete:
                break
            start(index)
        complete = complete and self.poll_until(lambda: self.under_way == 0, deadline)
        return {
            "connections": len(self.connections),
            "seconds": time.monotonic() - began,
            "complete": complete and not self.failures,
            "failed": len(self.failures),
            "failures": self.failures[:3],
        }

    def reset(self, mark: str) -> None:
        """Begin to count."""
        self.mark = mark.encode()
        self.frames = self.reads = self.errors = 0
        self.latencies = []
        for connection in self.connections:
            connection.frames = connection.size = connection.crc = 0

    def wait(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait for a number of frames, then count."""
        wanted = order["frames"]
        self.poll_until(lambda: self.frames >= wanted, time.monotonic() + order["seconds"])
        return self.count()

    def count(self) -> dict[str, Any]:
        """What arrived since the reset; connections with the same bytes are one entry."""
        kinds = Counter(f"{one.frames}:{one.size}:{one.crc:08x}" for one in self.connections)
        result: dict[str, Any] = {
            "frames": self.frames,
            "bytes": sum(one.size for one in self.connections),
            "reads": self.reads,
            "closed": self.closed,
            "errors": self.errors,
            "kinds": dict(kinds),
        }
        if self.latencies:
            ordered = sorted(self.latencies)
            parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
            result["latency_ms"] = {
                name: ordered[int(part * (len(ordered) - 1))] / 1e6 for name, part in parts.items()
            }
        return result

    def talk(self, order: dict[str, Any]) -> dict[str, Any]:
        """Send messages at a rate, from each of the senders in turn; wait; count."""
        self.names = order.get("names") or {}
        began = time.monotonic()
        latest = 0.0
        for index in range(order["count"]):
            due = began + index / order["rate"]
            while (left := due - time.monotonic()) > 0:
                self.poll(left)
            latest = max(latest, time.monotonic() - due)
            connection = self.connections[order["senders"][index % len(order["senders"])]]
            text = self.filled(order["template"], connection.number)
            self.send(connection, text.replace("{stamp}", str(time.time_ns())))
        sent = time.monotonic() - began
        wanted = order["frames"]
        self.poll_until(lambda: self.frames >= wanted, time.monotonic() + order["seconds"])
        return {
            **self.count(),
            "seconds": time.monotonic() - began,
            "sending_seconds": sent,
            "latest_ms": latest * 1000,
        }

    # --- one connection

    def next(self, connection: Connection) -> None:
        """Send the next step of the script, or end it."""
        connection.step += 1
        connection.seen = 0
        if connection.step >= len(self.steps):
            connection.running = False
            self.under_way -= 1
            return
        step = self.steps[connection.step]
        for text in step["send"]:
            self.send(connection, self.filled(text, connection.number))
        if not step["await"]:
            self.next(connection)

    def filled(self, text: str, number: int) -> str:
        for name, values in self.names.items():
            if values:
                text = text.replace("{" + name + "}", values[number % len(values)])
        return text

    def send(self, connection: Connection, text: str) -> None:
        self.write(connection, _frame(0x81, text.encode()))

    def write(self, connection: Connection, data: bytes) -> None:
        while data:
            try:
                data = data[connection.socket.send(data) :]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError as error:
                self.lost(connection, str(error))
                return

    def fail(self, connection: Connection, reason: str) -> None:
        if connection.running:
            connection.running = False
            self.under_way -= 1
            self.failures.append(reason)

    def lost(self, connection: Connection, reason: str) -> None:
        if not connection.closed:
            connection.closed = True
            self.closed += 1
            del self.by_descriptor[connection.socket.fileno()]
            connection.socket.close()
            self.fail(connection, reason)

    def read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_READ)
        except OSError as error:
            self.lost(connection, str(error))
            return
        if not data:
            self.lost(connection, "the server closed the connection")
            return
        data = connection.pending + data
        if not connection.upgraded:
            head, blank, rest = data.partition(b"\r\n\r\n")
            if not blank:
                connection.pending = data
                return
            if b" 101 " not in head[:32]:
                self.lost(connection, data[:100].decode(errors="replace"))
                return
            connection.upgraded = True
            data = rest
            if connection.running:
                self.next(connection)
        counted = self.frames
        connection.pending = self.parse(connection, data, time.time_ns())
        if self.frames > counted:
            self.reads += 1

    def parse(self, connection: Connection, data: bytes, now: int) -> bytes:
        at = 0
        while len(data) - at >= 2:
            length, header = data[at + 1], 2
            if length == 126:
                length, header = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, header = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if len(data) - at < header + length:
                break
            self.arrived(connection, data[at], data[at + header : at + header + length], now)
            if connection.closed:
                return b""
            at += header + length
        return data[at:]

    def arrived(self, connection: Connection, head: int, payload: bytes, now: int) -> None:
        kind = head & 0x0F
        if kind == 0x8:
            self.lost(connection, f"closed: {payload!r}")
            return
        if kind == 0x9:
            self.write(connection, _frame(0x8A, payload))
            return
        if self.mark and payload.startswith(_COUNTED):
            at = payload.find(self.mark)
            if at >= 0:
                connection.frames += 1
                connection.size += len(payload)
                connection.crc = zlib.crc32(payload, connection.crc)
                self.frames += 1
                self.time(payload[at + len(self.mark) :], now)
                return
        if payload.startswith(b'{"msg":"ping"'):
            self.send(connection, '{"msg":"pong"}')
            return
        refused = b'"error":' in payload
        if refused and payload.startswith(b'{"msg":"result"'):
            self.errors += 1
        if not connection.running or connection.step < 0:
            return
        if refused:
            self.fail(connection, payload[:200].decode(errors="replace"))
            return
        step = self.steps[connection.step]
        if step["await"].encode() in payload:
            connection.seen += 1
            if connection.seen >= max(step["count"], 1):
                self.next(connection)

    def time(self, text: bytes, now: int) -> None:
        """Note how long a stamped message took."""
        digits = text[:_STAMP_DIGITS]
        if digits.isdigit() and len(digits) == _STAMP_DIGITS and int(digits) > _LEAST_STAMP:
            self.latencies.append(now - int(digits))


def _frame(head: int, payload: bytes) -> bytes:
    """A frame as clients send it. Its mask of zeros changes nothing, and is one."""
    if len(payload) > 125:
        return bytes((head, 0x80 | 126)) + len(payload).to_bytes(2, "big") + bytes(4) + payload
    return bytes((head, 0x80 | len(payload))) + bytes(4) + payload


if __name__ == "__main__":
    try:
        Load().serve()
    except KeyboardInterrupt:
        sys.exit(1)
