"""Telling presence about the sockets of signed-in users.

Told about in the order of events per socket, each with a growing number, so that late and
repeated messages do no harm. What cannot be told now is told when presence answers again; a
streamer that dies is noticed by its lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.presence import ConnectionRecord, Presence, PresenceWanted, Status
from hubbub.errors import HubbubError
from hubbub.ids import UserId, random_id
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

CHUNK = 1_000  # records in one call
_FEW = 2  # records that are told one by one
_GATHER = 0.2  # seconds in which closed sockets are collected
_BETWEEN = 0.1  # seconds between two rounds of news


class Present(Protocol):
    """A session, as presence needs it."""

    sequence: int

    @property
    def user_id(self) -> str | None: ...
    @property
    def public_id(self) -> str: ...


class PresenceLink:
    """This streamer's side of presence."""

    def __init__(self, presence: Presence, instance: str, *, clock: Clock | None = None) -> None:
        self._presence = presence
        self._instance = instance
        self._clock = clock or SystemClock()
        self.boot_id = random_id()
        self._records: dict[str, ConnectionRecord] = {}  # public id → what presence should know
        self._unsaid: dict[str, tuple[str, ConnectionRecord]] = {}  # public id → (call, record)
        self._gone: dict[str, ConnectionRecord] = {}
        self._announce = False
        self._holding = False
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    # --- what happens to sessions -------------------------------------------------------------

    def opened(self, session: Present) -> None:
        """Its user signed in. A session that is signed out again already is not told."""
        if session.user_id is not None:
            self._tell("new", session, Status.ONLINE)

    def status(self, session: Present, status: Status) -> None:
        """The client says that its user is there, or away."""
        if session.public_id in self._records:
            self._tell("status", session, status)

    def closed(self, session: Present) -> None:
        """The socket closed, or its user signed out."""
        record = self._records.pop(session.public_id, None)
        if record is None:
            return
        session.sequence += 1
        self._unsaid.pop(session.public_id, None)
        self._gone[session.public_id] = record.model_copy(update={"sequence": session.sequence})
        self._wake.set()

    def hold_closed(self) -> None:
        """From now on tell of closed sockets only by `flush`, all at once: the streamer drains,
        and most of their users are about to appear elsewhere."""
        self._holding = True

    def announce_all(self) -> None:
        """Presence may have forgotten everything, or missed something."""
        self._announce = True
        self._wake.set()

    @listen(PresenceWanted, to="all")
    async def on_presence_wanted(self, event: PresenceWanted) -> None:
        """Presence asks for everything."""
        self.announce_all()

    def _tell(self, call: str, session: Present, status: Status) -> None:
        user_id = session.user_id
        if user_id is None:
            return
        session.sequence += 1
        record = ConnectionRecord(
            user_id=UserId(user_id),
            connection_id=session.public_id,
            status=status,
            sequence=session.sequence,
        )
        self._records[session.public_id] = record
        before = self._unsaid.get(session.public_id)
        # What is not known there at all is still new, with the latest status.
        self._unsaid[session.public_id] = ("new" if before and before[0] == "new" else call, record)
        self._wake.set()

    # --- telling ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell what happens, until cancelled."""
        pause = 0.5
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._tell_news()
                if not self._holding:
                    await self._tell_closed()
            except HubbubError as error:
                log.warning("presence_not_told", reason=type(error).__name__)
                self._announce = True  # more may be missing there than what we could not say
                self._wake.set()
                await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(5.0, pause * 2)
            else:
                pause = 0.5
                # The first is told at once; those who come close behind it, together.
                waits_for_closed = self._gone and not self._holding
                await self._clock.sleep(_GATHER if waits_for_closed else _BETWEEN)

    async def flush(self) -> None:
        """Tell everything that is not told yet. Raises: HubbubError: some of it was not."""
        await self._tell_news()
        await self._tell_closed()

    async def _tell_news(self) -> None:
        if self._announce:
            self._announce = False
            self._unsaid.clear()
            records = list(self._records.values())
            for start in range(0, len(records), CHUNK):
                await self._presence.announce(
                    records[start : start + CHUNK], self._instance, self.boot_id
                )
        calls: dict[str, Callable[[ConnectionRecord, str, str], Awaitable[None]]] = {
            "new": self._presence.new_connection,
            "status": self._presence.set_connection_status,
        }
        while self._unsaid:
            batch = [self._unsaid.popitem()[1] for _ in range(min(CHUNK, len(self._unsaid)))]
            if len(batch) <= _FEW:
                await _all(
                    calls[call](record, self._instance, self.boot_id) for call, record in batch
                )
            else:  # in a storm one call for many costs a tenth of many calls
                await self._presence.announce(
                    [record for _, record in batch], self._instance, self.boot_id
                )

    async def _tell_closed(self) -> None:
        while self._gone:
            ids = list(self._gone)[:CHUNK]
            await self._presence.remove_connections(
                [self._gone[connection_id] for connection_id in ids], self._instance, self.boot_id
            )
            for connection_id in ids:
                self._gone.pop(connection_id, None)


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """Make calls beside each other. Raises: the first error, when all are done."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
