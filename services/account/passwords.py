"""bcrypt beside the event loop, by few threads and with a bounded queue.

What is hashed is the lower-case hex SHA-256 of the password, 64 characters: bcrypt's limit of
72 bytes is never reached.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger
from services.account.metrics import AccountMetrics

log = get_logger(__name__)

T = TypeVar("T")

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 15)
"""Work factors that are computed at all: a stored 31 would keep a thread busy for days."""

RETRY_AFTER = 2  # seconds that a refused caller is told to wait


class Passwords:
    """Hashes and verifies. Close it.

    At most `threads` hashes are computed at once and `queue` wait; further ones, and those that
    waited `wait` seconds, raise `Unavailable`: too busy is never "wrong password".
    """

    def __init__(
        self,
        metrics: AccountMetrics,
        *,
        cost: int = 10,
        threads: int = 0,
        queue: int = 200,
        wait: float = 5.0,
    ) -> None:
        count = threads or max(1, len(os.sched_getaffinity(0)) - 1)
        self._cost = cost
        self._queue = queue
        self._wait = wait
        self._metrics = metrics
        self._waiting = 0
        self._free = asyncio.Semaphore(count)
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="bcrypt")
        # Nobody knows its password, and verifying takes as long as with a real one.
        self._nobody = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(cost))
        self.computed = 0
        """Hashes computed so far, dummies included."""
        metrics.count_waiting(lambda: self._waiting)

    async def hash(self, digest: str) -> str:
        """A new stored form of `digest`. Raises: Unavailable."""
        return (await self._computed(self._hash, digest)).decode()

    async def matches(self, digest: str, stored: str | None) -> bool:
        """Whether `stored` was made from `digest`. Without one it takes as long, and is False.

        Raises: Unavailable.
        """
        known = stored.encode("utf-8", "replace") if stored and _is_usable(stored) else None
        right = await self._computed(_matches, digest, known or self._nobody)
        return right and known is not None

    async def close(self) -> None:
        """Wait for the hashes that are being computed."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _hash(self, digest: str) -> bytes:
        return bcrypt.hashpw(digest.encode(), bcrypt.gensalt(self._cost))

    async def _computed(self, function: Callable[..., T], *arguments: object) -> T:
        await self._turn()
        loop = asyncio.get_running_loop()
        job = self._executor.submit(function, *arguments)

        def release(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._free.release)

        # The place is free when the thread is, also when the caller has given up long before.
        job.add_done_callback(release)
        self.computed += 1
        return await asyncio.wrap_future(job)

    async def _turn(self) -> None:
        if self._waiting >= self._queue:
            self._metrics.password_refused.inc()
            raise _busy()
        began = time.monotonic()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await self._free.acquire()
        except TimeoutError:
            self._metrics.password_refused.inc()
            raise _busy() from None
        finally:
            self._waiting -= 1
            self._metrics.password_wait.observe(time.monotonic() - began)


def _matches(digest: str, stored: bytes) -> bool:
    return bcrypt.checkpw(digest.encode(), stored)


def _is_usable(stored: str) -> bool:
    parts = _HASH.fullmatch(stored)
    if parts is None or int(parts[1]) not in _COSTS:
        log.warning("password_hash_not_usable")
        return False
    return True


def _busy() -> Unavailable:
    return Unavailable("too many passwords to check", details={"retryAfter": RETRY_AFTER})
