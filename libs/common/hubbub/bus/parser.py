"""Parser of what a NATS server sends, made for many small messages.

nats-py tries up to seven regular expressions per message; a line here is found and split once.
It accepts what servers send (upper-case operations, fields separated by single blanks), which
the NATS client protocol specifies and every nats-server does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from nats.errors import ProtocolError

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

Door = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes a message as it is: (subject, reply subject or b"", payload, header block or None)."""

_LONGEST_LINE = 1024 * 1024  # INFO of a large cluster is the longest; far above it is nonsense


class Receiver(Protocol):
    """The parts of nats-py's client that its own parser calls."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None: ...
    async def _process_ping(self) -> None: ...
    async def _process_pong(self) -> None: ...
    async def _process_err(self, err_msg: str) -> None: ...
    async def _process_info(self, info: dict[str, object]) -> None: ...

    stats: dict[str, int]


class Parser:
    """Takes bytes as they come, in pieces of any size."""

    def __init__(self, receiver: Receiver, doors: dict[int, Door]) -> None:
        """
        Args:
            doors: subscription id → who takes its messages directly; the rest goes through
                the receiver's `_process_msg`.
        """
        self._receiver = receiver
        self._doors = doors
        self._pieces: list[bytes] = []
        self._size = 0  # bytes in pieces
        self._wanted = 0  # bytes that make the next step possible

    def reset(self) -> None:
        """Forget what was begun: a new connection starts afresh."""
        self._pieces.clear()
        self._size = self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Handle every complete operation in what has arrived.

        Raises: ProtocolError: this is not what a NATS server sends.
        """
        if self._pieces:
            self._pieces.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return  # a large message: joined once, when it is whole
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = self._wanted = 0
        try:
            await self._operations(data)
        except (ValueError, IndexError) as error:
            raise ProtocolError(f"nats: malformed message line ({error})") from None

    async def _operations(self, data: bytes) -> None:
        position = messages = volume = 0
        end_of_data = len(data)
        stats = self._receiver.stats
        while position < end_of_data:
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                if end_of_data - position > _LONGEST_LINE:
                    raise ProtocolError("nats: a line without end")
                self._keep(data[position:], 0)
                break
            first = data[position]
            if first == 77:  # MSG <subject> <sid> [reply] <size>
                fields = data[position + 4 : line_end].split(b" ")
                header_size = 0
            elif first == 72:  # HMSG <subject> <sid> [reply] <header size> <size>
                fields = data[position + 5 : line_end].split(b" ")
                header_size = int(fields.pop(-2))
            else:
                line = data[position:line_end]
                position = line_end + 2
                await self._control(line)
                continue
            start = line_end + 2
            size = int(fields[-1])
            end = start + size
            if not 0 <= header_size <= size or not 3 <= len(fields) <= 4:
                raise ProtocolError("nats: malformed message line")
            if end_of_data < end + 2:
                self._keep(data[position:], end + 2 - position)
                break
            position = end + 2
            reply = fields[2] if len(fields) == 4 else b""
            if header_size:
                headers: bytes | None = data[start : start + header_size]
                payload = data[start + header_size : end]
            else:
                headers = None
                payload = data[start:end]
            sid = int(fields[1])
            door = self._doors.get(sid)
            if door is None:
                await self._receiver._process_msg(  # noqa: SLF001  # nats-py's own seam
                    sid, fields[0], reply, payload, headers or b""
                )
                continue
            messages += 1
            volume += len(payload)
            try:
                door(fields[0], reply, payload, headers)
            except Exception:
                # nats-py's reader would end quietly on it, leaving a dead connection.
                log.exception("door_failed", subject=fields[0].decode("utf-8", "replace"))
        stats["in_msgs"] += messages
        stats["in_bytes"] += volume

    def _keep(self, rest: bytes, wanted: int) -> None:
        self._pieces.append(rest)
        self._size = len(rest)
        self._wanted = wanted

    async def _control(self, line: bytes) -> None:
        receiver = self._receiver
        if line.startswith(b"PING"):
            await receiver._process_ping()  # noqa: SLF001
        elif line.startswith(b"PONG"):
            await receiver._process_pong()  # noqa: SLF001
        elif line.startswith(b"+OK"):
            pass
        elif line.startswith(b"-ERR"):
            await receiver._process_err(line[4:].strip().decode("utf-8", "replace").lower())  # noqa: SLF001
        elif line.startswith(b"INFO "):
            try:
                info = json.loads(line[5:])
            except ValueError:
                raise ProtocolError("nats: malformed INFO") from None
            await receiver._process_info(info)  # noqa: SLF001
        else:
            raise ProtocolError("nats: unknown operation")
