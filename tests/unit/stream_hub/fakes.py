"""A lease store and an event log in memory, which fail when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from hubbub.clock import Clock, FakeClock, SystemClock
from hubbub.contracts.event_log import (
    CONTROL,
    Audience,
    Header,
    Marker,
    decode_control,
    encode_control,
)
from services.stream_hub.domain.event import StreamEvent
from services.stream_hub.feed import Position
from services.stream_hub.jetstream import (
    EXPECTED_SEQUENCE,
    Acknowledged,
    Entry,
    LogMissing,
    LogState,
    LogUnavailable,
)
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.store import Checkpoint, Lease, LogIdentity, StoreError
from services.stream_hub.term import Term


def metrics() -> HubMetrics:
    return HubMetrics(CollectorRegistry())


@dataclass
class FakeLeaseStore:
    """One lease, judged by the test's clock."""

    clock: FakeClock
    holder: str = ""
    epoch: int = 0
    expires: float = -1.0
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    log: LogIdentity = field(default_factory=LogIdentity)
    away: bool = False
    slow: float = 0.0
    """Seconds that an answer takes."""
    renewals: list[float] = field(default_factory=list)

    async def is_held(self) -> bool:
        self._answer()
        return self.clock.monotonic() < self.expires

    async def acquire(self, holder: str, ttl: float) -> Lease | None:
        if await self.is_held():
            return None
        self.holder, self.epoch = holder, self.epoch + 1
        self.expires = self.clock.monotonic() + ttl
        return Lease(self.epoch, self.checkpoint, self.log)

    async def renew(
        self, holder: str, epoch: int, ttl: float, checkpoint: Checkpoint | None
    ) -> bool:
        self._answer()
        if (holder, epoch) != (self.holder, self.epoch):
            return False
        self.renewals.append(self.clock.monotonic())
        self.expires = self.clock.monotonic() + ttl
        if checkpoint is not None:
            self.checkpoint = checkpoint
        return True

    async def save_log(self, holder: str, epoch: int, log: LogIdentity) -> bool:
        self._answer()
        self.log = log
        return (holder, epoch) == (self.holder, self.epoch)

    async def release(self, holder: str, epoch: int, checkpoint: Checkpoint | None) -> None:
        self._answer()
        if (holder, epoch) == (self.holder, self.epoch):
            self.expires = self.clock.monotonic()
            self.checkpoint = checkpoint or self.checkpoint

    def _answer(self) -> None:
        self.clock.advance(self.slow)
        if self.away:
            raise StoreError("away")


def term_of(
    epoch: int = 5, *, clock: Clock | None = None, checkpoint: Checkpoint | None = None
) -> Term:
    """A term that lasts."""
    lease = Lease(epoch, checkpoint or Checkpoint(), LogIdentity("created", 0))
    clock = clock or SystemClock()
    return Term(lease, holder="me", clock=clock, sent=clock.monotonic(), fence=1e6)


def position(number: int) -> Position:
    """A place in the history; later ones compare greater."""
    token = f"82{number:08d}"
    return Position(token, {"_data": token})


def event(text: str = "x", audience: str = "room.r1") -> StreamEvent:
    headers = {Header.KIND: "frame", Header.STREAM: "room-messages"}
    return StreamEvent(Audience(audience), text.encode(), headers)


def marker_entry(sequence: int, epoch: int) -> Entry:
    marker = Marker(epoch=epoch, holder="other", log_epoch="created/0")
    return Entry(sequence, CONTROL, epoch, f"!{epoch}:x", marker)


class FakeLog:
    """A log that checks expected sequences as JetStream does."""

    def __init__(self, last: int = 0) -> None:
        self.entries: list[Entry] = []
        self.created = "created"
        self.epoch = 5
        self.base = last
        self.max_payload = 1024 * 1024
        self.missing = False
        self.cut_off = False
        """NATS itself does not answer."""
        self.away = 0
        """Questions that get no answer."""
        self.before: Callable[[int, Entry], str] = lambda number, entry: ""
        """Called with each append: `lost` (never arrives), `unacknowledged` (arrives), or
        `refused`, or `full`; anything else goes through. May append entries of somebody else
        first."""
        self.payloads: dict[int, bytes] = {}
        """Of each event that went through, by its place among the entries."""
        self.headers: dict[int, dict[str, str]] = {}
        self.appended: list[int] = []
        self._told: Acknowledged | None = None

    @property
    def last(self) -> int:
        return self.base + len(self.entries)

    def put(self, entry: Entry) -> None:
        """Somebody else's event."""
        self.entries.append(entry._replace(sequence=self.last + 1))

    def ids(self) -> list[str]:
        return [entry.event_id for entry in self.entries]

    def on_acknowledged(self, told: Acknowledged | None) -> None:
        self._told = told

    def append(self, number: int, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        self.appended.append(number)
        entry = self._entry(audience, payload, headers)
        fate = self.before(number, entry)
        if fate == "lost":
            return
        answer: tuple[int | None, str]
        if fate == "refused":
            answer = (None, "unavailable")
        elif fate == "full":
            answer = (None, "storage")
        elif int(headers[EXPECTED_SEQUENCE]) != self.last:
            answer = (None, "conflict")
        else:
            self.payloads[len(self.entries)] = payload
            self.headers[len(self.entries)] = dict(headers)
            self.put(entry)
            answer = (self.last, "")
        if fate != "unacknowledged":
            asyncio.get_running_loop().call_soon(self._tell, number, *answer)

    async def append_now(self, audience: str, payload: bytes, headers: dict[str, str]) -> int:
        self.put(self._entry(audience, payload, headers))
        return self.last

    async def tell(self, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        return None

    async def prepare(self, epoch: int) -> LogState:
        self.epoch = epoch
        return await self.state()

    async def delete(self) -> None:
        self.entries, self.base = [], 0

    async def last_marker(self) -> Marker | None:
        return next((e.marker for e in reversed(self.entries) if e.marker is not None), None)

    async def answers(self) -> bool:
        await asyncio.sleep(0)
        return not self.cut_off

    async def state(self) -> LogState:
        await asyncio.sleep(0)
        if self.missing:
            raise LogMissing
        if self.away:
            self.away -= 1
            raise LogUnavailable("away")
        return LogState(self.created, self.base + 1, self.last, self.epoch)

    async def read(self, first: int, last: int) -> list[Entry]:
        await asyncio.sleep(0)
        return [entry for entry in self.entries if first <= entry.sequence <= last]

    def _tell(self, number: int, sequence: int | None, refusal: str) -> None:
        if self._told is not None:
            self._told(number, sequence, refusal)

    def _entry(self, audience: str, payload: bytes, headers: dict[str, str]) -> Entry:
        marker = decode_control(payload) if audience == CONTROL else None
        return Entry(
            self.last + 1,
            Audience(audience),
            int(headers[Header.EPOCH]),
            headers[Header.EVENT_ID],
            marker if isinstance(marker, Marker) else None,
        )


def marker_payload(epoch: int) -> bytes:
    return encode_control(Marker(epoch=epoch, holder="me", log_epoch="created/0"))


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until `condition`, on a clock that only moves when somebody sleeps."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")
