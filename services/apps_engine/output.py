"""What an app prints, line by line, no faster than anybody wants to read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hubbub.clock import Clock
from services.apps_engine.domain.pace import TokenBucket

_CHUNK = 16 * 1024  # bytes
_LONGEST_LINE = 2_000  # bytes; what is beyond is left out
_LINE_COST = 64  # bytes that a line counts for beside its own
_RATE, _BURST = 32 * 1024, 256 * 1024  # bytes per second, and at once


class Output:
    """Reads one pipe. While the app prints too fast it is not read, and the app waits."""

    def __init__(
        self, reader: asyncio.StreamReader, on_line: Callable[[str], None], clock: Clock
    ) -> None:
        self._reader = reader
        self._on_line = on_line
        self._clock = clock
        self._bucket = TokenBucket(_RATE, _BURST)
        self._line = bytearray()
        self._at_end = asyncio.Event()
        self.last = ""
        """The last line that was read."""

    async def run(self) -> None:
        """Read until the pipe ends."""
        while data := await self._reader.read(_CHUNK):
            lines = self._feed(data)
            pause = self._bucket.charge(self._clock.monotonic(), len(data) + _LINE_COST * lines)
            if pause and not self._at_end.is_set():
                await self._pause(pause)
        self._flush()

    def hurry(self) -> None:
        """The process is gone: what it left in the pipe is read at once."""
        self._at_end.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._at_end.wait()
        except TimeoutError:
            return

    def _feed(self, data: bytes) -> int:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            self._flush()
        self._add(rest)
        return len(ends)

    def _add(self, part: bytes) -> None:
        self._line += part[: _LONGEST_LINE - len(self._line)]

    def _flush(self) -> None:
        text = _shown(self._line.decode(errors="replace"))
        self._line.clear()
        if text:
            self.last = text
            self._on_line(text)


def _shown(text: str) -> str:
    """A line without what would move a terminal's cursor or change its colours."""
    return "".join(one if one.isprintable() else " " for one in text).strip()
