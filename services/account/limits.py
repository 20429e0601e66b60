"""How many failed logins a user or an address may have, and wrong codes a user.

Counts live in the database, so that they hold whichever replica answers. Keys are digests:
people type passwords where a username belongs.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hubbub.clock import Clock
from hubbub.errors import NotAllowed
from hubbub.telemetry.log import get_logger
from services.account.domain import address_group
from services.account.settings import AccountSettings
from services.account.store.failures import Allowance, FailureStore

log = get_logger(__name__)


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted_by: int = 0


class Limits:
    """Refuses logins after too many failures."""

    def __init__(self, store: FailureStore, settings: AccountSettings, clock: Clock) -> None:
        window = timedelta(seconds=settings.failure_window)
        longest = timedelta(seconds=settings.longest_block)
        self._store = store
        self._clock = clock
        self._exempt = settings.exempt_networks
        self._for_user = Allowance(settings.user_failures, window, longest)
        self._for_address = Allowance(settings.address_failures, window, longest)
        self._for_code = Allowance(settings.code_failures, window, longest)
        self._turns: dict[str, _Turn] = {}  # subject → those who wait; only while somebody does

    async def check_address(self, address: str) -> None:
        """Raises: NotAllowed: `error-login-blocked-for-ip`."""
        key = self._address_key(address)
        if key is not None and await self._is_blocked(key):
            raise NotAllowed(
                "Login has been temporarily blocked For IP", code="error-login-blocked-for-ip"
            )

    @asynccontextmanager
    async def turn(self, subject: str) -> AsyncIterator[None]:
        """One login of a user at a time, so that guesses sent all at once are counted too.

        Without an exception in it the user's failures are forgotten.

        Raises: NotAllowed: `error-login-blocked-for-user`.
        """
        blocked = NotAllowed(
            "Login has been temporarily blocked For User", code="error-login-blocked-for-user"
        )
        async with self._turn(_key("user", subject), blocked):
            yield

    @asynccontextmanager
    async def code_turn(self, subject: str) -> AsyncIterator[None]:
        """`turn` for codes of a second factor.

        Raises: NotAllowed: `totp-max-attempts`.
        """
        blocked = NotAllowed(
            "TOTP Maximum Failed Attempts Reached",
            code="totp-max-attempts",
            details={"method": "totp"},
        )
        async with self._turn(_key("code", subject), blocked):
            yield

    @asynccontextmanager
    async def _turn(self, key: str, blocked: NotAllowed) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.wanted_by += 1
        try:
            async with turn.lock:
                blocked_until = await self._store.blocked_until(key)
                if blocked_until is not None and blocked_until > self._now():
                    raise blocked
                yield
                if blocked_until is not None:
                    await self._store.forget(key)
        finally:
            turn.wanted_by -= 1
            if not turn.wanted_by:
                del self._turns[key]

    async def failed(self, subject: str, address: str) -> None:
        """Count a wrong password or code. A success later does not reset the address."""
        now = self._now()
        await self._store.count(_key("user", subject), self._for_user, now)
        key = self._address_key(address)
        if key is not None:
            await self._store.count(key, self._for_address, now)

    async def code_failed(self, subject: str) -> None:
        """Count a wrong code of a second factor."""
        await self._store.count(_key("code", subject), self._for_code, self._now())

    async def _is_blocked(self, key: str) -> bool:
        until = await self._store.blocked_until(key)
        return until is not None and until > self._now()

    def _address_key(self, address: str) -> str | None:
        group = address_group(address)
        if group is None or self._is_exempt(group):
            return None
        return _key("address", group)

    def _is_exempt(self, group: str) -> bool:
        network = ipaddress.ip_network(group)
        return any(
            network.version == exempt.version and network.overlaps(exempt)
            for exempt in self._exempt
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


def _key(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
