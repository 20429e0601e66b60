"""Bulkhead: how many calls of one action an instance works on, and how many may wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflow:
    """The bytes that wait in all bulkheads of a process, with one limit."""

    __slots__ = ("limit", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting = 0


class Bulkhead(Generic[T]):
    """Lets `running` items start at once, keeps `waiting` more in order, refuses the rest."""

    __slots__ = (
        "_overflow",
        "_queue",
        "_size",
        "_start",
        "running",
        "running_limit",
        "waiting_limit",
    )

    def __init__(
        self,
        start: Callable[[T], bool],
        size: Callable[[T], int],
        *,
        running: int,
        waiting: int,
        overflow: Overflow,
    ) -> None:
        """
        Args:
            start: begins an item. True: it runs, and `done` is called when it is over (not from
                inside `start`). False: it was over at once.
            size: bytes that an item holds while it waits.
        """
        self._start = start
        self._size = size
        self._queue: deque[T] = deque()
        self._overflow = overflow
        self.running = 0
        self.running_limit = running
        self.waiting_limit = waiting

    @property
    def waiting(self) -> int:
        """Items that wait for a place."""
        return len(self._queue)

    def __iter__(self) -> Iterator[T]:
        """What waits for a place."""
        return iter(self._queue)

    def enter(self, item: T) -> bool:
        """Start `item` or let it wait. False: there is no room, nothing was kept."""
        if self.running < self.running_limit:
            self.running += 1
            if not self._start(item):
                self.running -= 1
            return True
        size = self._size(item)
        if (
            len(self._queue) >= self.waiting_limit
            or self._overflow.waiting + size > self._overflow.limit
        ):
            return False
        self._overflow.waiting += size
        self._queue.append(item)
        return True

    def done(self) -> None:
        """One item is over: the place goes to the one that waited longest."""
        while self._queue:
            item = self._queue.popleft()
            self._overflow.waiting -= self._size(item)
            if self._start(item):
                return
        self.running -= 1

    def empty(self) -> list[T]:
        """Take out everything that waits."""
        items = list(self._queue)
        self._queue.clear()
        self._overflow.waiting -= sum(map(self._size, items))
        return items
