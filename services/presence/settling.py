"""Works out what others see of users whose connections changed, stores it, and tells it.

The order is: claim, decide, write the users, announce, release. A replica that dies on the way
leaves its claim to the others, who repeat what is missing: a status is never lost, and an
announcement comes twice rather than not at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.presence.domain import Decision, Session, User, decide, frame
from services.presence.metrics import PresenceMetrics
from services.presence.settings import PresenceSettings
from services.presence.store.sessions import MongoSessionStore
from services.presence.store.users import MongoUserStore

log = get_logger(__name__)

CLAIM_LEASE = 5.0
"""Seconds after which others may settle what a replica has claimed."""

_GATHER = 0.1  # seconds between two batches that are not full
_WRITE_BEFORE = 3.0  # seconds after the claim; later the claim may be somebody else's

Announce = Callable[[UserId, bytes], Awaitable[None]]
"""Tells those who watch a user; the bytes are a finished message."""


class Settler:
    """Settles users who are due; `run` is its task. Any number of replicas may do it."""

    def __init__(
        self,
        sessions: MongoSessionStore,
        users: MongoUserStore,
        *,
        announce: Announce,
        now: Callable[[], datetime],
        settings: PresenceSettings,
        metrics: PresenceMetrics,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._announce = announce
        self._now = now
        self._grace = timedelta(seconds=settings.offline_grace)
        self._pause = timedelta(seconds=settings.announce_pause)
        self._batch = settings.batch
        self._poll = settings.poll_interval
        self._metrics = metrics
        self._wanted = asyncio.Event()

    def look(self) -> None:
        """Somebody may be due."""
        self._wanted.set()

    async def run(self) -> None:
        """Settle, until cancelled."""
        while True:
            try:
                settled = await self.settle_due()
            except HubbubError as error:
                log.warning("presence_not_settled", reason=type(error).__name__)
                settled = 0
            heed_cancellation()
            if settled:
                # What changed meanwhile is due already. A batch costs the database seven
                # commands however small it is, so in a storm of logins let some more come.
                if settled < self._batch:
                    await asyncio.sleep(_GATHER)
                continue
            try:
                async with asyncio.timeout(self._poll):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()

    async def settle_due(self) -> int:
        """Settle a batch of users who are due now; how many there were."""
        began = time.monotonic()
        now = self._now()
        claim, sessions = await self._sessions.claim(now, self._batch)
        if not sessions:
            return 0
        users = await self._users.users(session.user_id for session in sessions)
        decided = [(session, *self._decided(session, users, now)) for session in sessions]
        writes = [(user, made) for _, user, made in decided if user and made and made.write]
        if time.monotonic() - began > _WRITE_BEFORE:
            log.warning("presence_claim_given_up", users=len(sessions))
            return len(sessions)
        await self._users.write_statuses(writes, now)
        for session, user, made in decided:
            if user is not None and made is not None:
                await self._tell(session, user, made, now)
        await self._sessions.release(claim, [(session, made) for session, _, made in decided], now)
        return len(sessions)

    def _decided(
        self, session: Session, users: dict[UserId, User], now: datetime
    ) -> tuple[User | None, Decision | None]:
        user = users.get(session.user_id)
        if user is None:  # deleted
            return None, None
        return user, decide(session, user, now, grace=self._grace, pause=self._pause)

    async def _tell(self, session: Session, user: User, decision: Decision, now: datetime) -> None:
        if decision.write:
            self._metrics.changed(user.status, decision.shown.status)
        if decision.postponed:
            self._metrics.announced(sent=False)
        if decision.announce:
            await self._announce(user.id, frame(user, decision.shown))
            self._metrics.announced(sent=True)
            if session.due is not None:
                self._metrics.delay.observe(max(0.0, (now - session.due).total_seconds()))
