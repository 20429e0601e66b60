"""Events handled one after another, in slices: a large one lets others run in between.

Work is a generator that yields where it may be interrupted; it is continued until the slice is
used up, and in a later turn of the loop from there. Order is never changed: what arrives
meanwhile waits behind it, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

Work = Iterator[None]

MAX_WAITING = 20_000  # pieces of work
MAX_WAITING_BYTES = 32 * 1024 * 1024


class WorkQueue:
    """Work in order. The first slice of a piece runs at once when nothing waits."""

    def __init__(
        self,
        *,
        slice_seconds: float = 0.002,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._slice = slice_seconds
        self._max_waiting = max_waiting
        self._max_bytes = max_waiting_bytes
        self._current: Work | None = None
        self._waiting: deque[tuple[Work, int]] = deque()
        self._bytes = 0
        self._running = False
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """No more work should be added, until `wait_for_room` returns."""
        return not self._room.is_set()

    @property
    def idle(self) -> bool:
        """Nothing waits."""
        return self._current is None and not self._waiting

    async def wait_for_room(self) -> None:
        """Return when less than half of the bound is used."""
        await self._room.wait()

    def add(self, work: Work, size: int = 0) -> None:
        """Do `work` after everything that was added before. `size`: bytes it keeps alive."""
        if self._current is None and not self._running:
            self._current = work
            self._run()
            return
        self._waiting.append((work, size))
        self._bytes += size
        if len(self._waiting) >= self._max_waiting or self._bytes >= self._max_bytes:
            self._room.clear()

    def call(self, function: Callable[[], None]) -> None:
        """Call `function` after everything that was added before."""
        self.add(_calling(function))

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._slice
        self._running = True
        try:
            while self._current is not None:
                if not self._step(self._current):
                    self._current = self._next()
                if self._current is not None and loop.time() > deadline:
                    loop.call_soon(self._run)
                    return
        finally:
            self._running = False

    def _step(self, work: Work) -> bool:
        """Continue `work`; whether there is more of it."""
        try:
            next(work)
        except StopIteration:
            return False
        except Exception:
            # One broken event must not stop all that follow it.
            log.exception("event_not_handled")
            return False
        return True

    def _next(self) -> Work | None:
        if not self._waiting:
            return None
        work, size = self._waiting.popleft()
        self._bytes -= size
        if (
            not self._room.is_set()
            and len(self._waiting) < self._max_waiting // 2
            and self._bytes < self._max_bytes // 2
        ):
            self._room.set()
        return work


def _calling(function: Callable[[], None]) -> Work:
    function()
    yield from ()
