"""Watermarks: how streamers learn that they lost the end of something.

A lost event in the middle shows in the next one of its audience. A lost last one would show
only with the next, which may come tomorrow; so the leader says how far each recent audience is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import NoReturn

from hubbub.clock import Clock
from hubbub.contracts.event_log import CONTROL, Header, Kind, Watermark, encode_control
from services.stream_hub.jetstream import EventLog, LogUnavailable
from services.stream_hub.term import Term

RECENT = 5  # intervals that an audience stays in the watermark
CHUNK = 5000  # audiences in one message


class Tops:
    """The last sequence of every audience that had an event lately."""

    def __init__(self) -> None:
        self.sequence = 0
        """Sequence of the last event of all."""
        self._current: dict[str, int] = {}
        self._older: deque[dict[str, int]] = deque(maxlen=RECENT - 1)

    def note(self, audience: str, sequence: int) -> None:
        """An event of `audience` stands at `sequence`. Sequences only grow."""
        self._current[audience] = sequence
        self.sequence = sequence

    def turn(self) -> bool:
        """An interval ends; whether anything was noted in it."""
        active = bool(self._current)
        self._older.append(self._current)
        self._current = {}
        return active

    def recent(self) -> dict[str, int]:
        """Audience → last sequence, of the intervals that count."""
        tops: dict[str, int] = {}
        for noted in (*self._older, self._current):
            tops.update(noted)
        return tops


def watermarks(tops: Tops, *, epoch: int, log_epoch: str) -> Iterator[Watermark]:
    """The messages that say how far the log is; at least one."""
    recent = list(tops.recent().items())
    for first in range(0, max(len(recent), 1), CHUNK):
        yield Watermark(
            epoch=epoch,
            log_epoch=log_epoch,
            sequence=tops.sequence,
            tops=recent[first : first + CHUNK],
        )


class Announcer:
    """Tells watermarks for one leader."""

    def __init__(
        self, log: EventLog, tops: Tops, clock: Clock, *, interval: float, idle: float
    ) -> None:
        self._log = log
        self._tops = tops
        self._clock = clock
        self._interval = interval
        self._idle = idle

    async def run(self, term: Term) -> NoReturn:
        """Tell one per `interval` in which anything was acknowledged, else one per `idle`."""
        headers = {Header.KIND: Kind.CONTROL.value, Header.EPOCH: str(term.epoch)}
        told = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._interval)
            now = self._clock.monotonic()
            if not self._tops.turn() and now - told < self._idle - self._interval / 2:
                continue
            name = term.announced
            if not name:
                continue  # a marker says it, and the next turn is soon enough
            told = now
            for mark in watermarks(self._tops, epoch=term.epoch, log_epoch=name):
                if not term.held or term.announced != name:
                    break
                try:
                    await self._log.tell(CONTROL, encode_control(mark), headers)
                except LogUnavailable:
                    break  # NATS is away; the next one comes soon enough
                await asyncio.sleep(0)  # a large one is long to encode: let others work
