"""What follows a commit: unread counters, and notifications of the moment.

Senders do not wait for it. Counters are *certain*: the room's document says up to which message
they are written (`countedSeq`) and when something was left to do (`uncounted`), whoever stored
the messages; what a dying process leaves undone is done by the room's next batch or by a search
that every process makes now and then. Writing them twice changes nothing. Notifications are
told at most once, by the process that stored the message.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hubbub.clock import Clock
from hubbub.mongo import Unreachable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.messaging.domain import counters
from services.messaging.facts import Facts
from services.messaging.metrics import EffectMetrics
from services.messaging.notices import Notices
from services.messaging.settings import MessagingSettings
from services.messaging.store import Store
from services.messaging.store.batches import Stored
from services.messaging.store.counters import GAP

log = get_logger(__name__)

_REMEMBERED: Final = 20_000  # rooms whose progress is remembered while nothing happens
_QUEUED: Final = 10_000  # rooms with work; more are left to the search
_CHUNK: Final = 512  # messages counted at once
_NOTICES: Final = 256  # messages of one room that wait to be notified of; older ones are not
_ATTEMPTS: Final = 5
_SETTLED_AT_ONCE: Final = 500  # rooms


@dataclass(slots=True)
class _Room:
    """What is to do in one room."""

    facts: Mapping[str, Any]
    done: int
    """Counters are written up to this `seq`."""
    upto: int
    """The last `seq` that is known to be stored."""
    waiting: deque[Mapping[str, Any]] = field(default_factory=deque)
    """Stored messages, ascending. May have gaps: those are read from the database."""
    notices: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=_NOTICES))
    since: float = 0.0
    """When the oldest thing to do came up, monotonic."""
    failures: int = 0
    queued: bool = False


class Effects:
    """Owns the tasks that write effects: `run` is their life."""

    def __init__(
        self,
        store: Store,
        facts: Facts,
        notices: Notices,
        *,
        settings: MessagingSettings,
        clock: Clock,
        metrics: EffectMetrics,
    ) -> None:
        self._store = store
        self._facts = facts
        self._notices = notices
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._rooms: dict[str, _Room] = {}  # only rooms with work
        self._progress: OrderedDict[str, int] = OrderedDict()  # room id → counted up to
        self._unsettled: dict[str, float] = {}  # room id → when it was last counted
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUED)
        self._idle = asyncio.Event()
        self._idle.set()

    def counted(self, room_id: str) -> int:
        """The `seq` up to which this process knows the counters of a room to be written."""
        return self._progress.get(room_id, 0)

    def on_stored(self, room_id: str, stored: Stored) -> None:
        """Take over the effects of messages that were just committed. Never waits."""
        if not stored.messages:
            return
        room = self._room(room_id, stored.room)
        room.upto = max(room.upto, stored.messages[-1]["seq"])
        if len(room.waiting) + len(stored.messages) <= self._settings.effect_queue:
            room.waiting.extend(stored.messages)
        room.notices.extend(stored.messages)
        self._enqueue(room_id, room)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._settings.effect_rooms):
                tasks.create_task(self._work(), name=f"effects {number}")
            tasks.create_task(self._settle_often(), name="settle counters")
            tasks.create_task(self._repair_often(), name="repair counters")

    async def flush(self, within: float) -> bool:
        """Wait until nothing is left to do, and note it; whether that was so in time."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
                await self._settle(older_than=0.0)
        except (TimeoutError, Unreachable):
            log.warning("effects_left_behind", rooms=len(self._rooms))
            return False
        return True

    async def repair(self) -> int:
        """Take over rooms whose counters nobody finished; how many."""
        taken = 0
        for room in await self._store.counters.abandoned(self._settings.repair_age):
            room_id = str(room["_id"])
            if room_id in self._rooms:
                continue
            work = self._room(room_id, room)
            work.done = int(room.get("countedSeq") or 0)
            work.upto = int(room.get("seq") or 0)
            self._enqueue(room_id, work)
            taken += 1
        self._metrics.repaired.inc(taken)
        return taken

    def _room(self, room_id: str, facts: Mapping[str, Any]) -> _Room:
        room = self._rooms.get(room_id)
        if room is None:
            known = int(facts.get("countedSeq") or 0)
            done = max(known, self._progress.get(room_id, 0))
            room = self._rooms[room_id] = _Room(facts, done, done, since=self._clock.monotonic())
            self._idle.clear()
        return room

    def _enqueue(self, room_id: str, room: _Room) -> None:
        if room.queued:
            return
        room.queued = True
        now = self._clock.monotonic()
        rest = self._unsettled.get(room_id, -math.inf) + self._settings.effect_interval - now
        if rest > 0:
            asyncio.get_running_loop().call_later(rest, self._push, room_id)
        else:
            self._push(room_id)

    def _push(self, room_id: str) -> None:
        try:
            self._queue.put_nowait(room_id)
        except asyncio.QueueFull:
            self._forget(room_id)  # the search finds it again

    def _forget(self, room_id: str) -> None:
        del self._rooms[room_id]
        if not self._rooms:
            self._idle.set()

    async def _work(self) -> None:
        while True:
            heed_cancellation()
            room_id = await self._queue.get()
            room = self._rooms[room_id]
            try:
                await self._advance(room_id, room)
            except Unreachable as error:
                await self._after_failure(room_id, room, error)
                continue
            room.failures = 0
            if room.upto - room.done >= _CHUNK:
                self._push(room_id)  # far behind: no rest
            elif room.done < room.upto or room.notices:
                room.queued = False
                self._enqueue(room_id, room)
            else:
                self._metrics.delay.observe(self._clock.monotonic() - room.since)
                self._forget(room_id)

    async def _after_failure(self, room_id: str, room: _Room, error: Exception) -> None:
        self._metrics.failed.inc()
        log.warning("effects_failed", err_type=type(error).__name__, attempt=room.failures + 1)
        heed_cancellation()
        room.failures += 1
        if room.failures >= _ATTEMPTS:
            self._forget(room_id)  # the search finds it again
            return
        await self._clock.sleep(min(0.1 * 2**room.failures, 2.0))
        room.queued = False
        self._enqueue(room_id, room)

    async def _advance(self, room_id: str, room: _Room) -> None:
        """Count the next messages, and tell who is to be told of them."""
        messages, last = await self._next(room_id, room)
        if last > room.done:
            await self._count(room_id, room.facts, messages, last)
            if room.facts.get("prid"):
                await self._store.discussions.report(room_id)
            room.done = last
            self._remember(room_id, last)
        told = [room.notices.popleft() for _ in range(len(room.notices))]
        if told:
            await self._notices.tell(room_id, room.facts, told)

    async def _next(self, room_id: str, room: _Room) -> tuple[Sequence[Mapping[str, Any]], int]:
        """The messages that follow `done`, and up to which `seq` there are no others."""
        while room.waiting and room.waiting[0]["seq"] <= room.done:
            room.waiting.popleft()
        taken: list[Mapping[str, Any]] = []
        expected = room.done + 1
        while room.waiting and len(taken) < _CHUNK and room.waiting[0]["seq"] == expected:
            taken.append(room.waiting.popleft())
            expected += 1
        if taken:
            return taken, expected - 1
        # Another process stored what lies between, or it did not fit into the queue.
        upto = room.waiting[0]["seq"] - 1 if room.waiting else room.upto
        if upto <= room.done:
            return [], room.done
        found = await self._store.counters.between(room_id, room.done, upto)
        # Deleted messages leave gaps in the numbers.
        return found, int(found[-1]["seq"]) if len(found) >= GAP else upto

    async def _count(
        self,
        room_id: str,
        facts: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        last: int,
    ) -> None:
        said = [counters.said(message) for message in messages]
        watchers = await self._facts.watchers(room_id)
        highlights = {
            watcher.user_id: watcher.highlights for watcher in watchers if watcher.highlights
        }
        if highlights:
            said = counters.with_highlights(said, highlights)
        threads = {message.thread_id for message in said if message.thread_id is not None}
        followers = await self._store.counters.followers(threads) if threads else {}
        plan = counters.plan(
            said,
            room_type=str(facts.get("t") or "c"),
            rules=await self._facts.rules(),
            followers=followers,
        )
        await self._store.counters.apply(room_id, plan)
        self._metrics.applied.inc(len(messages))
        self._unsettled[room_id] = self._clock.monotonic()

    def _remember(self, room_id: str, done: int) -> None:
        self._progress[room_id] = max(done, self._progress.get(room_id, 0))
        self._progress.move_to_end(room_id)
        if len(self._progress) > _REMEMBERED:
            self._progress.popitem(last=False)

    async def _settle_often(self) -> None:
        while True:
            heed_cancellation()
            await self._clock.sleep(self._settings.settle_interval)
            try:
                await self._settle(older_than=self._settings.settle_interval)
            except Unreachable as error:
                log.warning("settle_failed", err_type=type(error).__name__)

    async def _settle(self, *, older_than: float) -> None:
        """Note how far quiet rooms are; busy ones note it with their next batch."""
        before = self._clock.monotonic() - older_than
        quiet = [
            room_id
            for room_id, moment in self._unsettled.items()
            if moment <= before and room_id not in self._rooms
        ]
        for start in range(0, len(quiet), _SETTLED_AT_ONCE):
            part = quiet[start : start + _SETTLED_AT_ONCE]
            counted = {room_id: self._progress.get(room_id, 0) for room_id in part}
            await self._store.counters.settle(counted)
            for room_id in part:
                if self._unsettled.get(room_id, before + 1) <= before:
                    del self._unsettled[room_id]

    async def _repair_often(self) -> None:
        while True:
            try:
                await self.repair()
            except Unreachable as error:
                log.warning("repair_failed", err_type=type(error).__name__)
            heed_cancellation()
            await self._clock.sleep(self._settings.repair_interval)
