"""Who leads: a lease in the database, and a fence that falls by itself.

Two hubs may believe for a moment that they lead: a frozen process wakes up and knows nothing of
the time that passed. The fence makes that moment short; that such a hub does no harm is the
business of the epochs in the log (`hubbub.contracts.event_log.Epochs`).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

from hubbub.clock import Clock
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.stream_hub.metrics import SHARD, HubMetrics
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import Checkpoint, LeaseStore, LogIdentity, StoreError
from services.stream_hub.term import LeadershipLost, Term

log = get_logger(__name__)

_RETRY = 0.1  # seconds between tries of a renewal that failed
_SPREAD = 0.2  # of the standby's pause, so that two do not look in step


class Leadership:
    """Gets the lease, keeps it, gives it back."""

    def __init__(
        self,
        store: LeaseStore,
        settings: StreamHubSettings,
        *,
        holder: str,
        clock: Clock,
        metrics: HubMetrics,
        vary: Callable[[], float] = random.random,
        able: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """
        Args:
            able: whether this process could do the work if it led; always, if not given.
        """
        self._able = able
        self._store = store
        self._settings = settings
        self._holder = holder
        self._clock = clock
        self._metrics = metrics
        self._vary = vary
        self._saved_at = clock.monotonic()
        metrics.checkpoint_age.set_function(self._checkpoint_age)
        self._leading = False

    async def acquire(self) -> Term:
        """Wait until the lease is free and take it."""
        while True:
            heed_cancellation()
            term = await self._try()
            if term is not None:
                return term
            spread = 1 + _SPREAD * (2 * self._vary() - 1)
            await self._clock.sleep(self._settings.lease_retry * spread)

    async def keep(self, term: Term) -> NoReturn:
        """Renew the lease of `term` and save its checkpoint, until that is over.

        While events flow the checkpoint is saved more often than the lease needs it.

        Raises:
            LeadershipLost: somebody else has it, or it could not be renewed in time.
        """
        renewed, saved = self._clock.monotonic(), term.checkpoint
        pause = self._settings.checkpoint_interval
        while True:
            heed_cancellation()
            await self._clock.sleep(pause)
            pause = self._settings.checkpoint_interval
            self._check(term)
            sent = self._clock.monotonic()
            flowed = term.checkpoint.sequence != saved.sequence
            if not flowed and sent - renewed < self._settings.lease_renew - pause / 2:
                continue
            checkpoint = term.checkpoint
            if await self._renew(term, checkpoint):
                renewed, saved = sent, checkpoint
            else:
                pause = _RETRY

    async def save(self, term: Term) -> None:
        """Renew the lease and save the checkpoint now.

        Raises: LeadershipLost: it is not ours; StoreError: the database does not answer.
        """
        await self._save(term, term.checkpoint)

    async def save_log(self, term: Term, identity: LogIdentity) -> None:
        """Remember which log this is.

        Raises: LeadershipLost: it is not ours; StoreError: the database does not answer.
        """
        if not await self._store.save_log(term.holder, term.epoch, identity):
            self._lose(term, "taken")
        term.log = identity

    async def release(self, term: Term, end: str = "stopped") -> None:
        """Give the lease back, with the last checkpoint. Publishing has ended before, for the
        reason `end`, one of `metrics.TERM_ENDS`.

        A term that is over does not say how far it got. But if nobody has followed yet, the
        lease may still run: the database can have taken a renewal whose answer came too late.
        """
        ours = term.held
        term.end("released")
        self._metrics.terms_ended.labels(end).inc()
        self._leading = False
        self._metrics.leader.set(0)
        try:
            checkpoint = term.checkpoint if ours else None
            await self._store.release(term.holder, term.epoch, checkpoint)
            log.info("leadership_released", epoch=term.epoch)
        except StoreError as error:
            log.warning("lease_not_released", epoch=term.epoch, reason=type(error).__name__)

    async def _try(self) -> Term | None:
        try:
            if await self._store.is_held():
                return None
            if self._able is not None and not await self._able():
                log.debug("unable_to_lead")
                return None
            sent = self._clock.monotonic()
            lease = await self._store.acquire(self._holder, self._settings.lease_ttl)
        except StoreError as error:
            self._metrics.lease_failures.labels(SHARD, "acquire").inc()
            log.warning("lease_unreachable", reason=type(error).__name__)
            return None
        if lease is None:
            return None
        self._leading = True
        self._saved_at = sent
        self._metrics.leader.set(1)
        self._metrics.epoch.set(lease.epoch)
        log.info("leadership_began", epoch=lease.epoch)
        return Term(
            lease,
            holder=self._holder,
            clock=self._clock,
            sent=sent,
            fence=self._settings.lease_fence,
        )

    async def _renew(self, term: Term, checkpoint: Checkpoint) -> bool:
        try:
            await self._save(term, checkpoint)
        except StoreError as error:
            self._metrics.lease_failures.labels(SHARD, "renew").inc()
            log.warning("lease_not_renewed", epoch=term.epoch, reason=type(error).__name__)
            self._check(term)
            return False
        return True

    async def _save(self, term: Term, checkpoint: Checkpoint) -> None:
        sent = self._clock.monotonic()
        ours = await self._store.renew(
            term.holder, term.epoch, self._settings.lease_ttl, checkpoint
        )
        if not ours:
            self._lose(term, "taken")
        self._check(term)
        term.extend(sent)
        self._saved_at = sent

    def _check(self, term: Term) -> None:
        if not term.held:
            self._lose(term, "expired")

    def _lose(self, term: Term, reason: str) -> NoReturn:
        term.end(reason)
        self._leading = False
        self._metrics.leader.set(0)
        self._metrics.lease_failures.labels(SHARD, reason).inc()
        raise LeadershipLost(reason)

    def _checkpoint_age(self) -> float:
        return self._clock.monotonic() - self._saved_at if self._leading else 0.0
