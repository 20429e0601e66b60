"""Password hashes beside the event loop, by few threads and with a bounded queue.

What is hashed is the lower-case hex SHA-256 of the password, 64 characters: bcrypt's limit of
72 bytes is never reached.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger
from services.account.hashing import Scheme, is_usable, matches
from services.account.metrics import AccountMetrics

log = get_logger(__name__)

T = TypeVar("T")

RETRY_AFTER = 2  # seconds that a refused caller is told to wait


class Passwords:
    """Hashes and verifies. Close it.

    At most `threads` hashes are computed at once and `queue` wait; further ones, and those that
    waited `wait` seconds, raise `Unavailable`: too busy is never "wrong password".
    """

    def __init__(
        self,
        metrics: AccountMetrics,
        scheme: Scheme,
        *,
        threads: int = 0,
        queue: int = 200,
        wait: float = 5.0,
    ) -> None:
        count = threads or max(1, len(os.sched_getaffinity(0)) - 1)
        self._scheme = scheme
        self._queue = queue
        self._wait = wait
        self._metrics = metrics
        self._waiting = 0
        self._free = asyncio.Semaphore(count)
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="passwords")
        # Nobody knows its password, and verifying takes as long as with a real one.
        self._nobody = scheme.hash(os.urandom(16).hex())
        self.computed = 0
        """Hashes computed so far, dummies included."""
        metrics.count_waiting(lambda: self._waiting)

    async def hash(self, digest: str) -> str:
        """A new stored form of `digest`. Raises: Unavailable."""
        return await self._computed(self._scheme.hash, digest)

    async def matches(self, digest: str, stored: str | None) -> bool:
        """Whether `stored` was made from `digest`. Without one it takes as long, and is False.

        Raises: Unavailable.
        """
        known = stored if stored and is_usable(stored) else None
        if stored and known is None:
            log.warning("password_hash_not_usable")
        right = await self._computed(matches, digest, known or self._nobody)
        return right and known is not None

    def is_weak(self, stored: str) -> bool:
        """Whether new hashes are stronger than this one."""
        return self._scheme.is_stronger_than(stored)

    async def close(self) -> None:
        """Wait for the hashes that are being computed."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

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


def _busy() -> Unavailable:
    return Unavailable("too many passwords to check", details={"retryAfter": RETRY_AFTER})
